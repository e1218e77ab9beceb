/** `pontoon redrive`, `cancel`, and what is done to actors: the commands that change something, asked of the log's owner. */
import { parseAddress, type ReadFailure } from "@pontoon/runtime"
import { Effect } from "effect"
import { type OperatorDesk, openOperatorDesk, TerminalCommandRefused } from "../operator/OperatorDesk.ts"
import type { ActorCommand, OperatorAnswer, OperatorRequest } from "../operator/operatorProtocol.ts"
import { type InspectedLog, openInspectedLog } from "./InspectedLog.ts"
import type { Output } from "./Output.ts"
import { type Chosen, isEmptySelection, readSelection, type SelectionFlags, selectMessages } from "./selectMessages.ts"

/**
 * How often a full mailbox is waited for without any progress, each time as long as its owner says (a second): longer than
 * a restart of its actor takes, and then somebody should look.
 */
const FULL_ROUNDS_MAX = 30

export interface ManyChoice extends SelectionFlags {
  readonly messageId: string | undefined
  readonly isAll: boolean
  readonly isDryRun: boolean
}

export interface RedriveChoice extends ManyChoice {
  readonly body: string | undefined
}

const refuse = (message: string) => new TerminalCommandRefused({ message })

/** What does not go together, in one sentence. */
const mistakeIn = (choice: ManyChoice, one: string, list: string): string | undefined => {
  const isMany = choice.isAll || !isEmptySelection(choice)
  if (choice.messageId === undefined && !isMany) {
    return `Give the id of ${one}, some of --actor, --task, --error and --since, or --all; pontoon ${list} lists them.`
  }
  if (choice.messageId !== undefined && isMany) return "Give either an id, or which ones are meant."
  if (choice.messageId !== undefined && choice.isDryRun) return "--dry-run is for many; give which ones are meant."
  return undefined
}

const answerText = (id: string, answer: OperatorAnswer, isJson: boolean): string =>
  isJson ? JSON.stringify({ id, ...answer }) : answer.message

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

/** What became of many: `done` of `matched`, `refused` of the rest, and `full` of those, for which there was no room. */
interface Tally {
  readonly done: number
  readonly refused: number
  readonly full: number
}

/**
 * Asks for one after the other. Of a mailbox that is full, all the rest waits for the next round, while those of others go
 * on; a round begins when the owner has said that it is worth another try.
 */
const askMany = Effect.fnUntraced(function* (
  desk: OperatorDesk,
  output: Output,
  chosen: ReadonlyArray<Chosen>,
  requestFor: (messageId: string) => OperatorRequest,
  isJson: boolean,
) {
  let done = 0
  let refused = 0
  let waiting = chosen
  let retryAfterMs = 0
  for (let fruitless = 0; waiting.length > 0 && fruitless < FULL_ROUNDS_MAX; fruitless++) {
    if (retryAfterMs > 0) yield* Effect.sleep(retryAfterMs)
    const full = new Set<string>()
    const left: Array<Chosen> = []
    for (const each of waiting) {
      const answer = full.has(each.box) ? undefined : yield* desk.ask(requestFor(each.id))
      if (answer === undefined || answer.retryAfterMs !== undefined) {
        full.add(each.box)
        left.push(each)
        retryAfterMs = Math.max(retryAfterMs, answer?.retryAfterMs ?? 0)
        continue
      }
      if (answer.ok) done++
      else refused++
      if (answer.ok) fruitless = -1
      yield* output.print([answerText(each.id, answer, isJson)])
    }
    waiting = left
  }
  return { done, refused, full: waiting.length } satisfies Tally
})

/** One sentence: how many of how many, and what of the others. */
const summary = (what: string, verb: string, matched: number, { done, full, refused }: Tally): string => {
  const beyond = matched - done - full - refused
  const parts = [
    ...(refused > 0 ? [`${refused} refused`] : []),
    ...(full > 0 ? [`${full} left before full mailboxes`] : []),
    ...(beyond > 0 ? [`${beyond} left beyond the limit`] : []),
  ]
  const others = parts.length === 0 ? "" : `; ${parts.join(", ")}`
  return `${done} of ${matched} ${what} were ${verb}${others}.`
}

interface Act {
  readonly what: string
  readonly verb: string
  readonly statuses: ReadonlyArray<"dead" | "pending" | "running">
  readonly requestFor: (messageId: string) => OperatorRequest
}

const actOnMany = Effect.fnUntraced(function* (
  file: string,
  log: InspectedLog,
  output: Output,
  isJson: boolean,
  choice: ManyChoice,
  act: Act,
) {
  const { chosen, matched } = yield* selectMessages(log, act.statuses, yield* readSelection(choice))
  if (choice.isDryRun) {
    yield* output.print(chosen.map(({ id }) => (isJson ? JSON.stringify({ id }) : id)))
    if (!isJson) yield* output.print([`${chosen.length} of ${matched} ${act.what} would be ${act.verb}.`])
    return
  }
  // Only now, and only for something: without an owner this process becomes it.
  const tally =
    chosen.length === 0
      ? { done: 0, refused: 0, full: 0 }
      : yield* askMany(yield* openOperatorDesk(file), output, chosen, act.requestFor, isJson)
  const text = summary(act.what, act.verb, matched, tally)
  if (tally.refused + tally.full > 0) return yield* refuse(text)
  if (!isJson) yield* output.print([text])
})

export const redrive = Effect.fnUntraced(function* (
  file: string,
  output: Output,
  isJson: boolean,
  choice: RedriveChoice,
) {
  const { body, messageId } = choice
  const mistake =
    mistakeIn(choice, "a dead letter", "dead") ??
    (messageId === undefined && body !== undefined ? "--body is for one message; give its id." : undefined)
  if (mistake !== undefined) return yield* refuse(mistake)
  // Before the desk, which would make a log of an empty file.
  const log = yield* openInspectedLog(file)
  if (messageId === undefined) {
    return yield* actOnMany(file, log, output, isJson, choice, {
      what: "dead letters",
      verb: "redriven",
      statuses: ["dead"],
      requestFor: (id) => ({ command: "redrive", messageId: id }),
    })
  }
  const desk = yield* openOperatorDesk(file)
  yield* ask(desk, output, { command: "redrive", messageId, ...(body === undefined ? {} : { body }) }, isJson)
})

export const cancel = Effect.fnUntraced(function* (file: string, output: Output, isJson: boolean, choice: ManyChoice) {
  const { messageId } = choice
  const mistake =
    mistakeIn(choice, "a message that has not ended", "log") ??
    (choice.errorTag === undefined ? undefined : "What has not ended has no error; leave --error out.")
  if (mistake !== undefined) return yield* refuse(mistake)
  const log = yield* openInspectedLog(file)
  if (messageId === undefined) {
    return yield* actOnMany(file, log, output, isJson, choice, {
      what: "unfinished messages",
      verb: "cancelled",
      statuses: ["pending", "running"],
      requestFor: (id) => ({ command: "cancel", messageId: id }),
    })
  }
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

export const onActor = Effect.fnUntraced(function* (
  file: string,
  output: Output,
  isJson: boolean,
  command: ActorCommand,
  name: string,
) {
  const address = parseAddress(name)
  if (address === undefined) return yield* refuse(`"${name}" is not an actor; give one as type/id.`)
  yield* openInspectedLog(file)
  const desk = yield* openOperatorDesk(file)
  yield* ask(desk, output, { command, address, reason: `${command} by an operator` }, isJson)
})
