/**
 * The boundary between the care of the file and its traffic: when a step of it is taken. When no commit waits; and only
 * where callers that never pause would keep it off for good, in front of what has just come.
 */
import type { Step } from "./Pruner.ts"

/**
 * After a step it rests three times as long as the step took, so that care has a quarter of the loop at most; but no
 * shorter than this, in milliseconds, or many short steps would cost more syncs than the traffic.
 */
const REST_MS_MIN = 10

/**
 * How long commits may keep a due step off, in milliseconds. 64 callers that send again as soon as they are told leave no
 * moment without a waiting commit, and a log under such a load is the one that must not grow. A step of 4 ms then comes
 * every 66 ms, which is 6 % of the loop. At 63 us a message, measured on two busy cores, it then deletes about 1,000 a second;
 * and 4,000 where it is not kept off.
 */
export const PUT_OFF_MS_MAX = 50

/** Between two passes, in milliseconds: what has become old in a minute is worth a look. */
export const PASS_EVERY_MS = 60_000

/** Between two looks whether nothing waits, in milliseconds. */
const LOOK_EVERY_MS = 5

export interface CaretakerPorts {
  /** One step of the work. */
  readonly step: () => Step
  /** Whether no commit waits. */
  readonly isIdle: () => boolean
  /** A clock in milliseconds that never steps back. */
  readonly now: () => number
  /** Calls `then` after a time; gives what takes it back. */
  readonly later: (then: () => void, delayMs: number) => () => void
  readonly failed: (error: unknown) => void
  /** The file stays larger than it should be; told once until it fits again. */
  readonly isOver: () => void
}

export interface Caretaker {
  /** To be called after each flush. */
  readonly flushed: () => void
  readonly stop: () => void
}

export const noCaretaker: Caretaker = { flushed: () => {}, stop: () => {} }

export const makeCaretaker = (ports: CaretakerPorts): Caretaker => {
  const { step, isIdle, now, later } = ports
  let dueMs = now()
  let isStopped = false
  let hasSaidOver = false
  let takeBack: (() => void) | undefined

  const take = (): number => {
    const startMs = now()
    try {
      const state = step()
      if (state === "over" && !hasSaidOver) ports.isOver()
      hasSaidOver = state === "over"
      if (state !== "more") return PASS_EVERY_MS
    } catch (error) {
      // Busy, full, or broken: the commits that meet it say so to whoever sent them. Care can wait.
      ports.failed(error)
      return PASS_EVERY_MS
    }
    return Math.max(REST_MS_MIN, 3 * (now() - startMs))
  }

  const turn = (): void => {
    const putOffMs = now() - dueMs
    if (isStopped || putOffMs < 0 || (putOffMs < PUT_OFF_MS_MAX && !isIdle())) return
    const restMs = take()
    dueMs = now() + restMs
  }

  const watch = (): void => {
    takeBack = undefined
    turn()
    if (!isStopped) takeBack = later(watch, Math.max(LOOK_EVERY_MS, dueMs - now()))
  }
  takeBack = later(watch, 0)

  return {
    flushed: turn,
    stop: () => {
      isStopped = true
      takeBack?.()
    },
  }
}
