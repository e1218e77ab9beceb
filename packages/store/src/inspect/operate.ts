/** `pontoon redrive`, `cancel` and `stop`: the commands that change something, asked of the log's owner. */
import { type MessageRow, parseAddress, type ReadFailure } from "@pontoon/runtime"
import { Effect } from "effect"
import { type OperatorDesk, openOperatorDesk, TerminalCommandRefused } from "../operator/OperatorDesk.ts"
import type { OperatorRequest } from "../operator/operatorProtocol.ts"
import { failureTag } from "./formatText.ts"
import { type InspectedLog, openInspectedLog } from "./InspectedLog.ts"
import type { Output } from "./Output.ts"

/** Dead letters read at once. */
const PAGE = 500

export interface RedriveChoice {
  readonly messageId: string | undefined
  readonly isAll: boolean
  /** With `isAll`: only those of actors of this type. */
  readonly actorType: string | undefined
  /** With `isAll`: only those whose last error has this tag. */
  readonly tag: string | undefined
  readonly body: string | undefined
}

const refuse = (message: string) => new TerminalCommandRefused({ message })

/** What does not go together, in one sentence. */
const mistakeIn = ({ messageId, isAll, actorType, tag, body }: RedriveChoice): string | undefined => {
  if (messageId === undefined && !isAll) return "Give the id of a dead letter, or --all; pontoon dead lists them."
  if (messageId !== undefined && isAll) return "Give either an id or --all."
  if (isAll && body !== undefined) return "--body is for one message; give its id in place of --all."
  if (!isAll && (actorType ?? tag) !== undefined) return "--actor and --tag choose among --all."
  return undefined
}

const ask = Effect.fnUntraced(function* (
  desk: OperatorDesk,
  output: Output,
  request: OperatorRequest,
  isJson: boolean,
) {
  const answer = yield* desk.ask(request)
  if (!answer.ok && !isJson) return yield* refuse(answer.message)
  const id = "messageId" in request ? { id: request.messageId } : {}
  yield* output.print([isJson ? JSON.stringify({ ...id, ...answer }) : answer.message])
  if (!answer.ok) return yield* refuse(answer.message)
})

const isChosen = (row: MessageRow, { tag }: RedriveChoice): boolean =>
  tag === undefined || failureTag(row.error) === tag

/** Every dead letter once: each stands at its place in the log, however often it dies meanwhile. */
const redriveAll = Effect.fnUntraced(function* (
  log: InspectedLog,
  desk: OperatorDesk,
  output: Output,
  choice: RedriveChoice,
  isJson: boolean,
) {
  let redriven = 0
  const refused: Array<string> = []
  const { actorType } = choice
  for (let afterSeq = 0; ; ) {
    const page: ReadonlyArray<MessageRow> = yield* log.reader.messages({
      status: "dead",
      afterSeq,
      limit: PAGE,
      ...(actorType === undefined ? {} : { actorType }),
    })
    for (const row of page.filter((each) => isChosen(each, choice))) {
      const answer = yield* desk.ask({ command: "redrive", messageId: row.id })
      if (answer.ok) redriven++
      else refused.push(answer.message)
      yield* output.print([isJson ? JSON.stringify({ id: row.id, ...answer }) : answer.message])
    }
    afterSeq = page.at(-1)?.seq ?? afterSeq
    if (page.length < PAGE) break
  }
  if (refused.length > 0) return yield* refuse(`${redriven} dead letters were redriven, and ${refused.length} refused.`)
  if (!isJson) yield* output.print([`${redriven} dead letters were redriven.`])
})

export const redrive = Effect.fnUntraced(function* (
  file: string,
  output: Output,
  isJson: boolean,
  choice: RedriveChoice,
) {
  const mistake = mistakeIn(choice)
  if (mistake !== undefined) return yield* refuse(mistake)
  // Before the desk, which would make a log of an empty file.
  const log = yield* openInspectedLog(file)
  const desk = yield* openOperatorDesk(file)
  const { messageId, body } = choice
  if (messageId === undefined) return yield* redriveAll(log, desk, output, choice, isJson)
  yield* ask(desk, output, { command: "redrive", messageId, ...(body === undefined ? {} : { body }) }, isJson)
})

export const cancel = Effect.fnUntraced(function* (file: string, output: Output, isJson: boolean, messageId: string) {
  const log = yield* openInspectedLog(file)
  yield* assertUnfinished(log, messageId)
  const desk = yield* openOperatorDesk(file)
  yield* ask(desk, output, { command: "cancel", messageId }, isJson)
})

/** The owner only says yes or no; the log knows why. */
const assertUnfinished = (
  log: InspectedLog,
  messageId: string,
): Effect.Effect<void, TerminalCommandRefused | ReadFailure> =>
  Effect.flatMap(log.reader.message(messageId), (row) => {
    if (row === undefined) return Effect.fail(refuse(`There is no message ${messageId} in the log.`))
    return row.finishedAtMs === null
      ? Effect.void
      : Effect.fail(refuse(`Message ${messageId} is ${row.status}; only what has not ended can be cancelled.`))
  })

export const stop = Effect.fnUntraced(function* (file: string, output: Output, isJson: boolean, name: string) {
  const address = parseAddress(name)
  if (address === undefined) return yield* refuse(`"${name}" is not an actor; give one as type/id.`)
  yield* openInspectedLog(file)
  const desk = yield* openOperatorDesk(file)
  yield* ask(desk, output, { command: "stop", address, reason: "stopped by an operator" }, isJson)
})
