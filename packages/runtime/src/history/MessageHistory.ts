/**
 * The boundary between the tables of the log and the life of one message: every attempt with what its actor was then,
 * every route, every redrive, and what happened around it meanwhile. `diagnose` says what it comes to.
 */
import { Effect, Option, Schema } from "effect"
import { type Address, formatAddress } from "../message/Address.ts"
import { isFinal, type MessageRow } from "../message/Envelope.ts"
import { type RecordedError, readError } from "../message/RecordedError.ts"
import type { AttemptRow, LifecycleRow, LogReader, RouteRow } from "../ports/LogReader.ts"
import type { ReadFailure } from "../ports/StoreFailure.ts"

/** What an actor was at some time: the last change before it. */
export interface LifecycleMoment {
  readonly state: string
  readonly event: string
  readonly reason: string | null
  readonly atMs: number
}

/** One failed attempt. */
export interface HistoryAttempt {
  readonly attempt: number
  /** The actor that ran it, as `type/id`. */
  readonly target: string
  readonly startedAtMs: number | null
  readonly finishedAtMs: number
  readonly error: RecordedError
  /** What that actor was when the attempt began; undefined where no change was written before: an actor without a start is ready. */
  readonly lifecycle: LifecycleMoment | undefined
}

/** A decision where the message goes. */
export interface HistoryRoute {
  /** The attempt it was taken for. */
  readonly attempt: number
  readonly pool: string
  readonly chosen: string
  readonly reason: string
  readonly atMs: number
}

/** An operator had it run again. */
export interface HistoryRedrive {
  /** The first attempt after it. */
  readonly attempt: number
  readonly atMs: number
  readonly target: string
  readonly diedOf: RecordedError | undefined
  /** The body that was replaced; undefined where it was kept. */
  readonly replacedBody: string | undefined
}

export interface MessageHistory {
  readonly message: MessageRow
  /** Its last error; undefined where it has none. */
  readonly error: RecordedError | undefined
  /** Oldest first, those before a redrive too. */
  readonly attempts: ReadonlyArray<HistoryAttempt>
  readonly routes: ReadonlyArray<HistoryRoute>
  readonly redrives: ReadonlyArray<HistoryRedrive>
  /** The targets of its pool, as its last route saw them; empty without a pool. */
  readonly poolTargets: ReadonlyArray<string>
  /** What its actor is now. */
  readonly actor: LifecycleMoment | undefined
  /** Of the messages accepted around it for the same actor type and task: */
  readonly around: {
    /** answered while it was tried; */
    readonly answered: number
    /** ended badly on the same error while it was tried; */
    readonly sameError: number
    /** accepted before it for its very actor, and not ended when it ended. */
    readonly ahead: number
  }
}

/** Messages before and behind it that are looked at: enough to tell one bad message from a bad hour. */
const AROUND_MAX = 250

/** Routes that are read, the newest: a reroute or a redrive each, of which there are about as many as attempts. */
const ROUTES_MAX = 1_000

/** Changes of an actor's lifecycle that are looked at: a crash and a restart are four, and may share a millisecond. */
const MOMENTS_MAX = 16

/** States in which an actor begins a message. */
const BEGINS: ReadonlySet<string> = new Set(["ready", "degraded"])

/** The pool under which redrives are kept in `routes`. */
const OPERATOR = "operator"

const decodeRedrive = Schema.decodeUnknownOption(
  Schema.fromJsonString(
    Schema.Struct({ diedOf: Schema.NullOr(Schema.String), body: Schema.optionalKey(Schema.String) }),
  ),
)

const decodeTargets = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ candidates: Schema.Array(Schema.Struct({ target: Schema.String })) })),
)

const addressOf = ({ actorId, actorType }: { readonly actorType: string; readonly actorId: string }): Address => ({
  type: actorType,
  id: actorId,
})

const toMoment = (row: LifecycleRow | undefined): LifecycleMoment | undefined =>
  row === undefined ? undefined : { state: row.to, event: row.event, reason: row.reason, atMs: row.atMs }

const toRedrive = ({ attempt, atMs, chosen, evidence }: RouteRow): HistoryRedrive => {
  const seen = Option.getOrUndefined(decodeRedrive(evidence))
  const diedOf = seen?.diedOf ?? undefined
  return {
    attempt,
    atMs,
    target: chosen,
    diedOf: diedOf === undefined ? undefined : readError(diedOf),
    replacedBody: seen?.body,
  }
}

const targetsIn = (routes: ReadonlyArray<RouteRow>, pool: string | null): ReadonlyArray<string> => {
  const last = routes.findLast((route) => route.pool === pool)
  const seen = last === undefined ? undefined : Option.getOrUndefined(decodeTargets(last.evidence))
  return seen?.candidates.map(({ target }) => target) ?? []
}

const lifecycleNow = (reader: LogReader["Service"], address: Address) =>
  Effect.map(reader.lifecycleOf(address, Number.MAX_SAFE_INTEGER, 1), ([row]) => toMoment(row))

/**
 * What an actor was when it began a message. Of the very millisecond, only what lets it begin one counts: an attempt that
 * crashes its actor at once does so in the millisecond in which it begins.
 */
const lifecycleBefore = (reader: LogReader["Service"], address: Address, atMs: number) =>
  Effect.map(reader.lifecycleOf(address, atMs, MOMENTS_MAX), (rows) =>
    toMoment(rows.find((row) => row.atMs < atMs || BEGINS.has(row.to))),
  )

const readAttempt = (reader: LogReader["Service"], row: AttemptRow): Effect.Effect<HistoryAttempt, ReadFailure> =>
  Effect.map(lifecycleBefore(reader, addressOf(row), row.startedAtMs ?? row.finishedAtMs), (lifecycle) => ({
    attempt: row.attempt,
    target: formatAddress(addressOf(row)),
    startedAtMs: row.startedAtMs,
    finishedAtMs: row.finishedAtMs,
    error: readError(row.error),
    lifecycle,
  }))

/** What happened to the messages around it, between its acceptance and its end. */
const lookAround = Effect.fnUntraced(function* (reader: LogReader["Service"], message: MessageRow) {
  const { actorId, actorType, createdAtMs, finishedAtMs, seq, task } = message
  const tag = message.error === null ? undefined : readError(message.error).tag
  const rows = yield* reader.messages({
    actorType,
    afterSeq: seq - AROUND_MAX - 1,
    beforeSeq: seq + AROUND_MAX + 1,
    limit: 2 * AROUND_MAX + 1,
  })
  const endMs = finishedAtMs ?? Number.POSITIVE_INFINITY
  const others = rows.filter((row) => row.seq !== seq)
  const meanwhile = others.filter(
    (row) =>
      row.task === task && row.finishedAtMs !== null && row.finishedAtMs >= createdAtMs && row.finishedAtMs <= endMs,
  )
  return {
    answered: meanwhile.filter(({ status }) => status === "done").length,
    sameError: meanwhile.filter(({ error }) => error !== null && readError(error).tag === tag).length,
    ahead: others.filter(
      (row) => row.actorId === actorId && row.seq < seq && (row.finishedAtMs === null || row.finishedAtMs > endMs),
    ).length,
  }
})

/**
 * Reads the life of a message; undefined where the log has none of this id. Reads rows by key, and looks at no more than
 * 500 messages around it, however long the log is.
 */
export const readHistory = Effect.fnUntraced(function* (
  reader: LogReader["Service"],
  messageId: string,
): Effect.fn.Return<MessageHistory | undefined, ReadFailure> {
  const message = yield* reader.message(messageId)
  if (message === undefined) return undefined
  const attempts = yield* Effect.forEach(yield* reader.attempts(messageId), (row) => readAttempt(reader, row))
  const routes = yield* reader.routes({ messageId }, ROUTES_MAX)
  return {
    message,
    error: message.error === null ? undefined : readError(message.error),
    attempts,
    routes: routes.flatMap(({ attempt, atMs, chosen, pool, reason }) =>
      pool === OPERATOR ? [] : [{ attempt, atMs, chosen, pool, reason }],
    ),
    redrives: routes.filter(({ pool }) => pool === OPERATOR).map(toRedrive),
    poolTargets: targetsIn(routes, message.pool),
    actor: yield* lifecycleNow(reader, addressOf(message)),
    around: isFinal(message.status) ? yield* lookAround(reader, message) : { answered: 0, sameError: 0, ahead: 0 },
  }
})
