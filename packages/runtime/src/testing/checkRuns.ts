/**
 * The boundary between what handlers did and what the log says of it. These checkers look at runs as handlers saw them,
 * which a log alone does not hold; like those of `checkers.ts`, each gives one sentence a violation.
 */
import { formatAddress } from "../message/Address.ts"
import { handedOnFrom, isFinal, type MessageRow } from "../message/Envelope.ts"
import { inTurn, type LogContents, type OrderOptions, type Violations } from "./checkers.ts"

/** One run of a handler. */
export interface HandlerRun {
  readonly messageId: string
  readonly actor: string
  /** From 1 on. */
  readonly attempt: number
  readonly deadlineAtMs: number | null
  readonly startedAtMs: number
}

export interface ClockOptions {
  /**
   * Whether the wall clock was set while the log was written: its times are then no measure of each other, and runs are
   * compared by the time that really passed. Default false.
   */
  readonly stepped?: boolean
  /** When messages ended, by the clock of the runs. Default: as the log says. */
  readonly endedAtMs?: ReadonlyMap<string, number>
}

/** Whether the message has something to compensate: then its handler is run at any time, once it is to end, to say how. */
const mayRunAnytime = ({ steps }: LogContents, id: string): boolean =>
  (steps.get(id) ?? []).some(({ kind }) => kind === "undoable")

/** What a message's runs are judged by: its row, and the runs before. */
const wrongRun = (
  run: HandlerRun,
  row: MessageRow | undefined,
  before: HandlerRun | undefined,
  { endedAtMs, stepped = false }: ClockOptions,
  isAnytime: boolean,
): string | undefined => {
  if (row === undefined) return "is not in the log"
  if (!stepped && run.startedAtMs < row.createdAtMs) return "ran before it was accepted"
  if (run.attempt > row.attempt) return `ran, and the log knows of ${row.attempt} attempts`
  if (before !== undefined && run.attempt <= before.attempt) return `ran after its attempt ${before.attempt}`
  // Its end may be later: a handler that waits for a commit is interrupted when that is written.
  if (!stepped && !isAnytime && run.deadlineAtMs !== null && run.startedAtMs > run.deadlineAtMs) {
    return `ran at ${run.startedAtMs}, after its deadline ${run.deadlineAtMs}`
  }
  const endMs = isFinal(row.status) ? (endedAtMs?.get(row.id) ?? row.finishedAtMs ?? 0) : Number.POSITIVE_INFINITY
  return run.startedAtMs > endMs ? `ran after its end at ${endMs}` : undefined
}

/** Each attempt is run once at most, after those before it, in its time, and none after the message's end. */
export const checkRuns = (
  contents: LogContents,
  runs: ReadonlyArray<HandlerRun>,
  clock: ClockOptions = {},
): Violations => {
  const rows = new Map(contents.messages.map((row) => [row.id, row]))
  const last = new Map<string, HandlerRun>()
  return runs.flatMap((run) => {
    const wrong = wrongRun(
      run,
      rows.get(run.messageId),
      last.get(run.messageId),
      clock,
      mayRunAnytime(contents, run.messageId),
    )
    last.set(run.messageId, run)
    return wrong === undefined ? [] : [`attempt ${run.attempt} of message ${run.messageId} ${wrong}`]
  })
}

/**
 * No message is claimed more often than `attemptsMax`, each time it is driven, and as often again to compensate what it did;
 * one that is done was run.
 */
export const checkAttempts = (
  contents: LogContents,
  runs: ReadonlyArray<HandlerRun>,
  attemptsMax: number,
): Violations => {
  const ran = new Set(runs.map(({ messageId }) => messageId))
  return contents.messages.flatMap(({ attempt, attemptsBefore, id, status }) => {
    const counted = attempt - attemptsBefore
    const countedMax = attemptsMax * (mayRunAnytime(contents, id) ? 2 : 1)
    if (counted > countedMax) return [`message ${id} had ${counted} attempts, of ${countedMax}`]
    const failed = contents.attempts.get(id)?.length ?? 0
    if (failed > attempt) return [`message ${id} failed ${failed} times in ${attempt} attempts`]
    return status === "done" && !ran.has(id) ? [`message ${id} is done, and never ran`] : []
  })
}

/** Nothing starts before its time or after its deadline, and nothing expires before its deadline. */
export const checkTimes = (contents: LogContents, { stepped = false }: ClockOptions = {}): Violations =>
  contents.messages.flatMap(({ createdAtMs, deadlineAtMs, deliverAtMs, finishedAtMs, id, startedAtMs, status }) => {
    const isTimed = startedAtMs !== null && !mayRunAnytime(contents, id)
    // One reading of the clock decides it, and is written down.
    if (isTimed && deadlineAtMs !== null && startedAtMs > deadlineAtMs) {
      return [`message ${id} was started at ${startedAtMs}, after its deadline ${deadlineAtMs}`]
    }
    if (stepped) return []
    if (isTimed && startedAtMs < Math.max(createdAtMs, deliverAtMs)) {
      return [`message ${id} was started at ${startedAtMs}, and was not due before ${deliverAtMs}`]
    }
    if (status === "expired" && (deadlineAtMs === null || (finishedAtMs ?? 0) < deadlineAtMs)) {
      return [`message ${id} expired at ${finishedAtMs}, before its deadline ${deadlineAtMs}`]
    }
    return []
  })

/**
 * Of each priority, serial actors run what nothing but a death keeps from running in its turn in the order of acceptance, as
 * handlers saw it: whatever the clock says, and whenever it was said to have begun.
 */
export const checkRunOrder = (
  contents: LogContents,
  runs: ReadonlyArray<HandlerRun>,
  { closed = false, isSerial, unordered = new Set() }: OrderOptions,
): Violations => {
  const inOrder = new Map(
    contents.messages
      .filter((row) => isSerial(row.actorType) && inTurn(contents, row, row.priority) && !unordered.has(row.id))
      .filter(({ causationId }) => !closed || causationId === null)
      .map((row) => [row.id, row]),
  )
  const last = new Map<string, MessageRow>()
  return runs.flatMap(({ actor, messageId }) => {
    const row = inOrder.get(messageId)
    if (row === undefined) return []
    const lane = `${actor} ${row.priority}`
    const before = last.get(lane)
    last.set(lane, row)
    return before !== undefined && before.seq > row.seq
      ? [`${actor} ran ${before.id} before the earlier ${row.id}`]
      : []
  })
}

/** Every score that was taken is in the log, and none is twice. @param taken who gave it, each another */
export const checkFeedback = (logged: ReadonlyArray<{ readonly source: string }>, taken: ReadonlyArray<string>) => {
  const counts = Map.groupBy(logged, ({ source }) => source)
  return [
    ...[...counts].flatMap(([source, rows]) => (rows.length > 1 ? [`the score of ${source} is in the log twice`] : [])),
    ...taken.flatMap((source) => (counts.has(source) ? [] : [`the score of ${source} was taken and is lost`])),
  ]
}

/**
 * The effect of every answered message is in its actor's state once, and of no other message.
 *
 * @param effectsIn the ids of the messages whose effects an encoded state holds
 */
export const checkEffects = (
  { actors, messages }: LogContents,
  isStateful: (actorType: string) => boolean,
  effectsIn: (state: string) => ReadonlyArray<string>,
): Violations => {
  const left = new Map(
    messages
      .filter(({ actorType, status }) => status === "done" && isStateful(actorType))
      .map(({ actorId, actorType, id }) => [id, formatAddress({ type: actorType, id: actorId })]),
  )
  const found = actors.flatMap(({ address, state }) => {
    const actor = formatAddress(address)
    return (state === null || !isStateful(address.type) ? [] : effectsIn(state)).flatMap((id) => {
      const owner = left.get(id)
      left.delete(id)
      return owner === actor ? [] : [`${actor} holds an effect of ${id} that is one too many`]
    })
  })
  return [...found, ...[...left].map(([id, actor]) => `${actor} has answered ${id} and holds no effect of it`)]
}

const countEach = (names: Iterable<string>): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

/**
 * What the handler that handed a message on did with that is in its actor's state once, each time that it did.
 *
 * @param handedOnIn the ids of the messages that an actor has handed on, by its encoded state
 */
export const checkHandOns = (
  { actors, messages }: LogContents,
  isStateful: (actorType: string) => boolean,
  handedOnIn: (state: string) => ReadonlyArray<string>,
): Violations => {
  const isState = (addressee: string) => !addressee.startsWith("pool ") && isStateful(addressee.split("/")[0] ?? "")
  const logged = countEach(
    messages.flatMap((row) => handedOnFrom(row).flatMap((from) => (isState(from) ? [`${from} ${row.id}`] : []))),
  )
  const held = countEach(
    actors.flatMap(({ address, state }) =>
      state === null || !isStateful(address.type)
        ? []
        : handedOnIn(state).map((id) => `${formatAddress(address)} ${id}`),
    ),
  )
  return [...new Set([...logged.keys(), ...held.keys()])].flatMap((key) => {
    const [actor, id] = key.split(" ")
    const [times, effects] = [logged.get(key) ?? 0, held.get(key) ?? 0]
    return times === effects ? [] : [`${actor} has handed ${id} on ${times} times, and holds ${effects} effects of it`]
  })
}

/** The log says of each message who had it, as often as it was handed on. @param hops how often that was, by message id */
export const checkHops = ({ messages }: LogContents, hops: ReadonlyMap<string, number>): Violations =>
  messages.flatMap((row) => {
    const [seen, said] = [hops.get(row.id) ?? 0, handedOnFrom(row)]
    return seen === said.length
      ? []
      : [`message ${row.id} was handed on ${seen} times, and the log says by ${said.join(", ")}`]
  })

/** What a handler sent is in the log if, and only if, its message is done. @param sends the sender's message by what it sent */
export const checkSends = ({ messages }: LogContents, sends: ReadonlyMap<string, string>): Violations => {
  const rows = new Map(messages.map((row) => [row.id, row]))
  return [...sends].flatMap(([id, parentId]) => {
    const isDone = rows.get(parentId)?.status === "done"
    if (isDone === rows.has(id)) return []
    return [isDone ? `${parentId} is done, and ${id} was not sent` : `${id} was sent, and ${parentId} is not done`]
  })
}

export interface ReadingOptions {
  /** The number of the first chunk that was read. Default 0. */
  readonly from?: number
  /** Whether the reader was told that this is all. Default false. */
  readonly complete?: boolean
}

/**
 * What was read of a streamed reply is in the log, each chunk once and in its place; and all of it, where the reader was told
 * so.
 *
 * @param read encoded chunks
 */
export const checkReading = (
  { chunks }: LogContents,
  messageId: string,
  read: ReadonlyArray<string>,
  { complete = false, from = 0 }: ReadingOptions = {},
): Violations => {
  const written = (chunks.get(messageId) ?? []).slice(from)
  const wrong = read.findIndex((data, nth) => written[nth]?.data !== data)
  if (wrong >= 0) {
    const inLog = written[wrong]?.data
    return [`chunk ${from + wrong} of message ${messageId} was read as ${read[wrong]}, and the log says ${inLog}`]
  }
  return complete && read.length < written.length
    ? [
        `a reader of message ${messageId} was told that ${from + read.length} chunks are all, of ${from + written.length}`,
      ]
    : []
}
