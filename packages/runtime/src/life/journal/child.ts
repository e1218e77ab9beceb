/**
 * The boundary between a handler with a journal and the messages that it sends: numbers them like any other act, and keeps
 * them apart from what is recorded. A handler without a journal counts for itself (`makeContext`).
 */
import { Effect } from "effect"
import { isFinal } from "../../message/Envelope.ts"
import { childMessageId } from "../../message/MessageId.ts"
import type { TerminalInvalidStep } from "../../message/StepFailure.ts"
import type { Request } from "../compose.ts"
import { readUntilItCan } from "../readPatiently.ts"
import type { Act, Journal } from "./Journal.ts"

type Child = Omit<Request, "parent">

const actOf = ({ ref, task }: Child): Act => ({
  kind: "child",
  name: task,
  what: `the message ${task} to ${ref.kind === "pool" ? `pool ${ref.type}` : `${ref.type}/${ref.id}`}`,
})

/** A message whose answer the handler waits for. It keeps nothing busy: it has its number before it waits. */
export const childOf = <A, E, R>(journal: Journal, child: Child, ask: (request: Request) => Effect.Effect<A, E, R>) =>
  journal.act(actOf(child), false, ({ ordinal }) => {
    const { message, mode, system } = journal
    const asked = ask({ ...child, parent: { message, ordinal } })
    if (mode !== "recall") return asked
    // Recalled, a handler hears the answers that it had, and asks nobody anew.
    const read = system.store.message(childMessageId(message.id, ordinal))
    return Effect.flatMap(readUntilItCan(system, read), (row) =>
      row !== undefined && isFinal(row.status) ? asked : Effect.never,
    )
  })

/** A message that leaves with the seal. */
export const sentBy = <E, R>(journal: Journal, child: Child, send: (request: Request) => Effect.Effect<string, E, R>) =>
  journal.act(actOf(child), false, ({ ordinal }): Effect.Effect<string, E | TerminalInvalidStep, R> => {
    const { message, mode } = journal
    if (mode === "forward") return send({ ...child, parent: { message, ordinal } })
    if (mode === "recall") return Effect.succeed(childMessageId(message.id, ordinal))
    // There is no seal that could take it along exactly once.
    return Effect.fail(journal.invalid(child.task, `a compensation cannot send ${child.task}, it must ask`))
  })
