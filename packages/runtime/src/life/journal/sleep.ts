/**
 * The boundary between a handler and time that outlives its process: records when a sleep ends, and sleeps what is left.
 *
 * A long sleep holds nothing: its message goes back to the mailbox until then, the next attempt gets what is recorded, and
 * goes on after the sleep. That neither counts against the message's attempts, nor holds a fiber or the actor's place; a
 * restart in between is nothing. What it costs is a commit, a claim, and what the handler does between its steps a second
 * time, so a short sleep stays where it is. Rejected: to hold a place for any time. A serial actor would be shut for a day.
 */
import { Duration, Effect, Option } from "effect"
import type { SleepOptions } from "../../actor/StepOptions.ts"
import type { StepRow } from "../../ports/MessageStore.ts"
import { type Act, currentJournal, type Journal } from "./Journal.ts"

/** As long as the slowest restart of a small process: below, putting a message away and back is no gain. */
const HELD_MS_MAX = 1_000
/** Node's timers end at 2^31 - 1 ms (25 days). */
const TIMER_MS_MAX = 2_147_483_647
/** A century: what is longer is a mistake in a unit. */
const SLEEP_MS_MAX = 100 * 365 * 86_400_000

const ACT: Act = { kind: "sleep", name: "sleep", what: "a sleep" }

const sleepUntil = Effect.fnUntraced(function* (journal: Journal, untilMs: number) {
  const { system } = journal
  for (let leftMs = untilMs - system.now(); leftMs > 0; leftMs = untilMs - system.now()) {
    yield* Effect.sleep(Math.min(leftMs, TIMER_MS_MAX))
  }
})

/** Ends this attempt; the seal puts the message back until `untilMs`. */
const putOff = Effect.fnUntraced(function* (journal: Journal, untilMs: number) {
  const { message } = journal
  message.interruption ??= "asleep"
  message.wakeAtMs = untilMs
  message.fiber?.interruptUnsafe()
  // Comes to an end only in a handler that does not let itself be interrupted, and then goes on.
  yield* sleepUntil(journal, untilMs)
  if (message.interruption === "asleep") message.interruption = undefined
})

/** Whether a message that waits until `atMs` (its deadline, where that is earlier) sleeps, by its journal; else it is in backoff. */
export const wakesAt = (rows: ReadonlyArray<StepRow>, attemptsBefore: number, atMs: number): boolean =>
  currentJournal(rows, attemptsBefore).rows.some(({ kind, result }) => kind === "sleep" && Number(result) >= atMs)

/** @see ActorContext.sleep */
export const sleep = (journal: Journal, duration: Duration.Input, options: SleepOptions = {}) =>
  journal.act(ACT, true, ({ ordinal, row, space }) =>
    Effect.gen(function* () {
      const given = Option.map(Duration.fromInput(duration), Duration.toMillis)
      const ms = Option.getOrElse(given, () => Number.NaN)
      if (!(ms >= 0 && ms <= SLEEP_MS_MAX)) {
        const said = Duration.isDuration(duration) ? Duration.format(duration) : String(duration)
        return yield* journal.invalid("sleep", `a sleep must last from 0 to 100 years, and this is ${said}`)
      }
      if (row === undefined && journal.mode === "recall") return yield* Effect.never
      const untilMs = row === undefined ? journal.system.now() + Math.ceil(ms) : Number(row.result)
      if (row === undefined) {
        yield* journal.checkChild(ACT, ordinal)
        yield* journal.checkSteps("sleep")
        yield* journal.record(ordinal, "sleep", "sleep", `${untilMs}`)
      }
      const leftMs = untilMs - journal.system.now()
      if (leftMs <= 0) return
      if (journal.mode === "recall") return yield* Effect.never
      const long = leftMs > HELD_MS_MAX && space === journal.root && journal.mode === "forward"
      yield* long && options.hold !== true ? putOff(journal, untilMs) : sleepUntil(journal, untilMs)
    }),
  )
