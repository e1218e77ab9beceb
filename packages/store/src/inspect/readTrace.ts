/** The boundary between a name that an operator has at hand and the conversations it belongs to. */
import { type AttemptRow, type MessageRow, parseAddress, type ReadFailure, type RouteRow } from "@pontoon/runtime"
import { Effect, Schema } from "effect"
import { causalTree, type TreeNode } from "./causalTree.ts"
import type { InspectedLog } from "./InspectedLog.ts"

/** Routes of one message that are read: its reroutes, of which there are as many as attempts. */
const ROUTES_MAX = 100

export class TerminalNothingToTrace extends Schema.TaggedError<TerminalNothingToTrace>()("TerminalNothingToTrace", {
  message: Schema.String,
}) {}

export interface TracedMessage extends TreeNode {
  readonly routes: ReadonlyArray<RouteRow>
  readonly attempts: ReadonlyArray<AttemptRow>
}

export interface TracedConversation {
  readonly correlationId: string
  readonly messages: ReadonlyArray<TracedMessage>
  /** There are more messages than were asked for. */
  readonly isCut: boolean
}

/** The conversations that `name` stands for: of a message, of a correlation id, or those an actor took part in last. */
const findConversations = Effect.fnUntraced(function* (
  log: InspectedLog,
  name: string,
  limit: number,
): Effect.fn.Return<ReadonlyArray<string>, ReadFailure | TerminalNothingToTrace> {
  const message = yield* log.reader.message(name)
  if (message !== undefined) return [message.correlationId]
  const [first] = yield* log.reader.messages({ correlationId: name, limit: 1 })
  if (first !== undefined) return [name]
  const address = parseAddress(name)
  if (address !== undefined) {
    const latest = yield* log.reader.messages({ actorType: address.type, actorId: address.id, newest: true, limit })
    if (latest.length > 0) return [...new Set(latest.map(({ correlationId }) => correlationId))]
  }
  return yield* new TerminalNothingToTrace({
    message: `${log.file} has no message, conversation or actor ${name}; pontoon log lists its messages, pontoon actors its actors (as type/id).`,
  })
})

const traceMessage = (log: InspectedLog, node: TreeNode): Effect.Effect<TracedMessage, ReadFailure> =>
  Effect.map(
    Effect.all([log.reader.routes({ messageId: node.message.id }, ROUTES_MAX), log.reader.attempts(node.message.id)]),
    ([routes, attempts]) => ({ ...node, routes, attempts }),
  )

/** Every conversation of `name`, at most `limit` messages of all of them together. */
export const readTrace = Effect.fnUntraced(function* (
  log: InspectedLog,
  name: string,
  limit: number,
): Effect.fn.Return<ReadonlyArray<TracedConversation>, ReadFailure | TerminalNothingToTrace> {
  const traced: Array<TracedConversation> = []
  let left = limit
  for (const correlationId of yield* findConversations(log, name, limit)) {
    if (left === 0) break
    const rows: ReadonlyArray<MessageRow> = yield* log.reader.messages({ correlationId, limit: left })
    const messages = yield* Effect.forEach(causalTree(rows), (node) => traceMessage(log, node))
    left -= rows.length
    traced.push({ correlationId, messages, isCut: left === 0 && (yield* isLonger(log, correlationId, rows)) })
  }
  return traced
})

const isLonger = (log: InspectedLog, correlationId: string, rows: ReadonlyArray<MessageRow>) =>
  Effect.map(
    log.reader.messages({ correlationId, afterSeq: rows.at(-1)?.seq ?? 0, limit: 1 }),
    (more) => more.length > 0,
  )
