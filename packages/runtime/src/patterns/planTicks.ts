/**
 * The boundary between a cron expression and the moments at which something is due: which ticks of a schedule are to be
 * sent now, and when to look again. Pure.
 */
import { Cron, Result } from "effect"

/** What becomes of ticks that are found later than `LATE_MS`: none, the last one, or all of the last `TICKS_MAX`. */
export type MissedTicks = "skip" | "once" | "all"

/**
 * A tick is missed where it is found so much later than it was due: the program was down, or its clock jumped. Twice what
 * an open system needs at most to notice that a clock has jumped.
 */
const LATE_MS = 60_000
/** Missed ticks that are sent, and counted, at most. */
export const TICKS_MAX = 100

/** Ticks that are due: when, and how many before each are left out. */
export interface DueTick {
  readonly atMs: number
  readonly missed: number
}

/** What is wrong with an expression, in one clause; it must come round at all. */
export const parseCron = (expression: string, timeZone: string): Result.Result<Cron.Cron, string> => {
  const parsed = Cron.parse(expression, timeZone)
  if (Result.isFailure(parsed)) return Result.fail(`${parsed.failure.message}: "${parsed.failure.input}"`)
  return nextTickMs(parsed.success, 0) === undefined
    ? Result.fail(`"${expression}" never comes`)
    : Result.succeed(parsed.success)
}

/** The first tick after `afterMs`; undefined where there is none. */
export const nextTickMs = (cron: Cron.Cron, afterMs: number): number | undefined => {
  try {
    return Cron.next(cron, new Date(afterMs)).getTime()
  } catch {
    return undefined
  }
}

/** The ticks from `fromMs` to `nowMs`, both included, the newest first; one more than `TICKS_MAX` at most. */
const newestFirst = (cron: Cron.Cron, fromMs: number, nowMs: number): ReadonlyArray<number> => {
  const found: Array<number> = []
  let atMs = nowMs + 1
  while (found.length <= TICKS_MAX) {
    atMs = Cron.prev(cron, new Date(atMs)).getTime()
    if (atMs < fromMs) break
    found.push(atMs)
  }
  return found
}

/**
 * What to send of the ticks that are due by `nowMs`, the oldest first.
 *
 * @param dueMs the first tick that was not sent yet
 */
export const planTicks = (
  cron: Cron.Cron,
  dueMs: number,
  nowMs: number,
  missed: MissedTicks,
): ReadonlyArray<DueTick> => {
  if (dueMs > nowMs) return []
  const found = newestFirst(cron, dueMs, nowMs)
  const wanted = found.filter((atMs, index) => {
    if (missed === "all") return index < TICKS_MAX
    return index === 0 && (missed === "once" || nowMs - atMs <= LATE_MS)
  })
  const left = found.length - wanted.length
  return wanted.toReversed().map((atMs, index) => ({ atMs, missed: index === 0 ? left : 0 }))
}
