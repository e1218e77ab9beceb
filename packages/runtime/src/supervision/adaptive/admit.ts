/**
 * The boundary of what is accepted: a message is refused at once where waiting would cost it its deadline. One that finds a
 * free slot never is, however slow the pool: refusing it would help nobody. Pure.
 */
import type { MessageFacts, Prediction } from "./Evidence.ts"

/**
 * A message is admitted while its chance to be in time is at least this much of what it would be without a wait: at first.
 * Raising it refuses more, and keeps more of what is admitted in time. From there it follows what becomes of those that
 * were admitted to wait (`nextShare`).
 */
export const ADMIT_SHARE = 0.97

const SHARE_MIN = 0.85
const SHARE_MAX = 0.995
/** Of those admitted to wait, this many may miss a deadline that they would have kept without. */
const MISSED_BY_WAITING = 0.007
/** And as many more as this share of those that would miss it anyway: a pool that is slow has to use its slots. */
const MISSED_BESIDE = 0.2
/** How far one message moves the share: some hundred settle it. */
const GAIN = 0.01

/**
 * The share after one more message that was admitted to wait has ended.
 *
 * @param inTimeIdle its chance at its admission, had it not had to wait
 */
export const nextShare = (share: number, inTimeIdle: number, wasInTime: boolean): number =>
  Math.min(
    SHARE_MAX,
    Math.max(
      SHARE_MIN,
      share + GAIN * (inTimeIdle - (wasInTime ? 1 : 0) - MISSED_BY_WAITING - MISSED_BESIDE * (1 - inTimeIdle)),
    ),
  )

/** Messages below the usual priority may lose only half as much by waiting, so that there is room for others; those above it more. */
const LOW_PRIORITY = 0.5
const HIGH_PRIORITY = 4

const shareFor = (priority: number, share: number): number =>
  1 - (1 - share) * (priority < 0 ? LOW_PRIORITY : priority > 0 ? HIGH_PRIORITY : 1)

/** The first in line at a target may lose this much: without it, a slot that is freed waits for the next arrival. */
const FIRST_SHARE = 0.88

/** @param share of its chance without a wait that a message has to have */
export const admits = (
  { leftMs, priority }: MessageFacts,
  { ahead, inTime, inTimeIdle }: Prediction,
  share = ADMIT_SHARE,
): boolean =>
  leftMs === null ||
  ahead === 0 ||
  inTime >= (ahead === 1 ? Math.min(FIRST_SHARE, share) : shareFor(priority, share)) * inTimeIdle

/** Nobody is told to come back sooner than this, in milliseconds. */
const RETRY_AFTER_MIN_MS = 50

/**
 * When to come back: half of the wait has passed by then. Spread over as long again, or all that were refused would come
 * back together.
 *
 * @param random a number in [0, 1)
 */
export const retryAfterMs = ({ waitMs }: Prediction, random: number): number =>
  Math.ceil(Math.max(RETRY_AFTER_MIN_MS, waitMs / 2) * (1 + random))
