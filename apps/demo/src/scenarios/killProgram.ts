/**
 * The whole program is killed, kill -9, with messages in flight. A second run over the same file finishes every one of
 * them, once; customers who ask again under their key get that answer.
 */
import { Deferred, Effect, Fiber } from "effect"
import type { CustomerMessage } from "../messages/CustomerMessage.ts"
import { enter, enterOwn, type LedgerEntry, type Stage, speak } from "./Stage.ts"

/** Answers that have come back when the program dies. */
const ANSWERED_BEFORE_KILL = 3
/** Slow enough that others are in flight then. */
const STEP_DELAY_MS = 40
/** Customers in flight. */
const CUSTOMERS = 12
/** Of them, customers whose answers a decoder writes, and is slow at; the bank has answered before anybody can kill it. */
const OWN_CUSTOMERS_MIN = 4
/** How many of the play's messages the act takes. */
export const IN_FLIGHT_MAX = CUSTOMERS - OWN_CUSTOMERS_MIN

const OWN_ORDERS = ["a flat white please", "two espressos to go", "an iced tea, no sugar", "one hot chocolate, medium"]

/** Writes the first of `messages` into the ledger, and customers of the act's own. */
const gather = (stage: Stage, messages: ReadonlyArray<CustomerMessage>): ReadonlyArray<LedgerEntry> => {
  const given = messages.slice(0, IN_FLIGHT_MAX)
  const own = Array.from({ length: CUSTOMERS - given.length }, (_, number) =>
    enterOwn(stage, `crash-${number}`, OWN_ORDERS[number % OWN_ORDERS.length]!),
  )
  return [...given.map((message) => enter(stage, message)), ...own]
}

/** Gives false where a message got no answer. Each message must be of a conversation of its own. */
export const killProgram = Effect.fnUntraced(function* (stage: Stage, messages: ReadonlyArray<CustomerMessage>) {
  const cluster = yield* stage.cluster
  const entries = gather(stage, messages)
  yield* stage.note(`Act 3: the whole program dies, with ${entries.length} customers at the counter.`)
  yield* Effect.forEach([...cluster.models.keys()], (replica) => cluster.slow(replica, STEP_DELAY_MS), {
    discard: true,
  })
  const enough = yield* Deferred.make<void>()
  let answered = 0
  const first = yield* Effect.forkChild(
    Effect.forEach(
      entries,
      (entry) =>
        speak(stage, entry).pipe(
          Effect.tap(() => (++answered >= ANSWERED_BEFORE_KILL ? Deferred.succeed(enough, undefined) : Effect.void)),
          Effect.ignore,
        ),
      { concurrency: "unbounded", discard: true },
    ),
  )
  yield* Effect.raceFirst(Deferred.await(enough), Fiber.await(first))
  const { pid } = cluster
  yield* cluster.kill
  yield* Fiber.await(first)
  const open = entries.filter((entry: LedgerEntry) => entry.outcome === undefined)
  yield* stage.note(`kill -9 ${pid}: the program is gone; ${open.length} customers have no answer. Starting it again.`)
  yield* stage.restart
  yield* Effect.forEach(open, (entry) => speak(stage, entry), { concurrency: "unbounded", discard: true })
  const lost = entries.filter((entry) => entry.outcome === undefined || "failed" in entry.outcome)
  yield* stage.note(
    lost.length === 0
      ? `All ${open.length} have their answer now.`
      : `${lost.length} of ${entries.length} HAVE NO ANSWER.`,
  )
  return lost.length === 0
})
