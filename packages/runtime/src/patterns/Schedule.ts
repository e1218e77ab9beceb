/**
 * The boundary between a calendar and actors: an actor that keeps schedules by name, each a cron expression in a time zone,
 * and sends a message to an actor at each tick.
 *
 * It waits in a message to itself that is due at the next tick, which is on disk like any other. At a tick one commit sends
 * what is due, moves each schedule on, and sends the next such message: a death can neither lose a tick nor double it. Each
 * tick has an idempotency key of its own, its schedule's name and its time.
 *
 * ```ts
 * const Nightly = makeSchedule("nightly", { payload: Schema.Struct({ report: Schema.String }) })
 * const Reporter = Actor.make("reporter", { protocol: [Nightly.Tick], handlers: { [Nightly.Tick._tag]: ({ payload }) => ... } })
 * yield* system.ask(Nightly.ref("main"), "Put", { name: "sales", cron: "30 2 * * *", timeZone: "Europe/Berlin",
 *   to: { type: "reporter", id: "1" }, payload: { report: "sales" } })
 * ```
 */
import { Effect, Result, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { type Actor, make } from "../actor/Actor.ts"
import type { ErasedContext } from "../actor/ActorContext.ts"
import type { Ref } from "../actor/Ref.ts"
import { type AnyTask, compileTask } from "../actor/Task.ts"
import { Address } from "../message/Address.ts"
import { nextTickMs, parseCron, planTicks, TICKS_MAX } from "./planTicks.ts"

/** The schedule cannot be kept as it is given. */
export class TerminalInvalidSchedule extends Schema.TaggedError<TerminalInvalidSchedule>()("TerminalInvalidSchedule", {
  name: Schema.String,
  message: Schema.String,
}) {}

export interface ScheduleOptions<P extends Schema.Codec<unknown, unknown>> {
  /** The schema of what a tick carries. */
  readonly payload: P
  /** Schedules of one actor. Default 1,000, from 1 to 10,000. They are its state, and written with each tick. */
  readonly schedulesMax?: number
}

const SCHEDULES_MAX = 1_000
const LIMIT_MAX = 10_000
/** Ticks in one commit at most; what is left goes with the next. */
const SENDS_MAX = 1_000
/** How soon a target that takes nothing now is tried again, in milliseconds. */
const RETRY_MS = 1_000

const NAME_LENGTH_MAX = 128
const Name = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(NAME_LENGTH_MAX))
const Missed = Schema.Literals(["skip", "once", "all"])

const entryOf = <P extends Schema.Codec<unknown, unknown>>(payload: P) =>
  Schema.Struct({
    name: Name,
    cron: Schema.String,
    timeZone: Schema.String,
    to: Schema.Struct({ type: Address.fields.type, id: Address.fields.id }),
    missed: Missed,
    payload,
    /** The first tick that was not sent yet, in milliseconds since the epoch. */
    nextAtMs: Schema.Int,
    /** Why its target took none of the last ticks; null where it did. */
    problem: Schema.NullOr(Schema.String),
  })
type Entry = ReturnType<typeof entryOf<Schema.Codec<unknown, unknown>>>["Type"]

interface State {
  readonly entries: Readonly<Record<string, Entry>>
  /** When the earliest wake-up is due that is under way; null where none is. */
  readonly wakeAtMs: number | null
}

const Wake = Rpc.make("schedule.wake", { payload: { atMs: Schema.Int } })
const wakeTasks = new Map([[Wake._tag as string, compileTask(Wake)]])

const tickTask = <const N extends string, P extends Schema.Codec<unknown, unknown>>(name: N, payload: P) =>
  Rpc.make(`${name}.Tick`, {
    // `missed`: how many ticks before this one are left out; as far as they are counted, which is to 100.
    payload: { schedule: Schema.String, atMs: Schema.Int, missed: Schema.Int, payload },
  })
type AnyTick = ReturnType<typeof tickTask<string, Schema.Codec<unknown, unknown>>>

const scheduleTasks = <P extends Schema.Codec<unknown, unknown>>(payload: P) => {
  const { cron, missed, name, timeZone, to } = entryOf(payload).fields
  return [
    Rpc.make("Put", {
      payload: Schema.Struct({
        ...{ name, cron, to, payload },
        timeZone: Schema.optionalKey(timeZone),
        missed: Schema.optionalKey(missed),
      }),
      success: Schema.Struct({ nextAtMs: Schema.Int }),
      error: TerminalInvalidSchedule,
    }),
    Rpc.make("Remove", { payload: { name }, success: Schema.Boolean }),
    Rpc.make("List", { success: Schema.Array(entryOf(payload)) }),
    Rpc.make("Next", { payload: { name }, success: Schema.NullOr(Schema.Int) }),
  ] as const
}

/** An actor with the task that its ticks are. */
export interface Schedule<N extends string, P extends Schema.Codec<unknown, unknown>>
  extends Actor<ReturnType<typeof scheduleTasks<P>>[number], never> {
  /** Stands in the protocol of whoever is told. */
  readonly Tick: ReturnType<typeof tickTask<N, P>>
}

/** Sends the message that wakes the schedules next, unless one is under way that is early enough. */
const arm = Effect.fnUntraced(function* (state: State, nextMs: number, actor: ErasedContext) {
  if (nextMs === Number.POSITIVE_INFINITY || (state.wakeAtMs !== null && state.wakeAtMs <= nextMs)) return state
  const self = { kind: "actor", type: actor.self.type, id: actor.self.id, tasks: wakeTasks } as Ref<typeof Wake>
  const armed = yield* Effect.result(actor.send(self, "schedule.wake", { atMs: nextMs }, { deliverAtMs: nextMs }))
  // Its own mailbox is full: what is in there is a message of this actor's, which looks again.
  return Result.isSuccess(armed) ? { ...state, wakeAtMs: nextMs } : state
})

/** One schedule at `nowMs`: its ticks are sent, and it is moved on. */
const turn = Effect.fnUntraced(function* (
  entry: Entry,
  tick: Ref<AnyTick>,
  task: AnyTick["_tag"],
  actor: ErasedContext,
) {
  const cron = Result.getOrUndefined(parseCron(entry.cron, entry.timeZone))
  if (cron === undefined) return entry
  let { nextAtMs, problem } = entry
  for (const { atMs, missed } of planTicks(cron, entry.nextAtMs, actor.nowMs, entry.missed)) {
    const ref = { ...tick, type: entry.to.type, id: entry.to.id }
    const payload = { schedule: entry.name, atMs, missed, payload: entry.payload }
    const key = { idempotencyKey: `${actor.self.id}/${entry.name}@${atMs}` }
    const sent = yield* Effect.result(actor.send(ref, task, payload, key))
    problem = Result.isFailure(sent) ? sent.failure.message : null
    // A full mailbox takes it a moment later; nobody ever takes what can never be sent.
    if (Result.isFailure(sent) && sent.failure._tag.startsWith("Retryable"))
      return { ...entry, nextAtMs: atMs, problem }
    nextAtMs = atMs
  }
  const after = Math.max(nextAtMs, actor.nowMs)
  return { ...entry, problem, nextAtMs: nextTickMs(cron, after) ?? Number.MAX_SAFE_INTEGER }
})

/** Everything that is due, as far as one commit holds it; then the next wake-up. */
const wake = Effect.fnUntraced(function* (
  state: State,
  tick: Ref<AnyTick>,
  task: AnyTick["_tag"],
  actor: ErasedContext,
) {
  const { nowMs } = actor
  const entries: Record<string, Entry> = { ...state.entries }
  let turns = 0
  let nextMs = Number.POSITIVE_INFINITY
  for (const [name, entry] of Object.entries(entries)) {
    let now = entry
    if (entry.nextAtMs <= nowMs && turns < SENDS_MAX) {
      now = yield* turn(entry, tick, task, actor)
      turns += entry.missed === "all" ? TICKS_MAX : 1
      entries[name] = now
    }
    // What is left although it is due is tried again soon.
    const left = now.nextAtMs <= nowMs
    nextMs = Math.min(nextMs, left ? nowMs + (turns < SENDS_MAX ? RETRY_MS : 1) : now.nextAtMs)
  }
  const wakeAtMs = state.wakeAtMs !== null && state.wakeAtMs > nowMs ? state.wakeAtMs : null
  actor.setState(yield* arm({ entries, wakeAtMs }, nextMs, actor))
})

const put = Effect.fnUntraced(function* (
  state: State,
  given: Omit<Entry, "nextAtMs" | "problem" | "timeZone" | "missed"> & Partial<Entry>,
  limit: number,
  actor: ErasedContext,
) {
  const { cron: expression, missed = "once", name, payload, timeZone = "UTC", to } = given
  const refuse = (why: string) =>
    new TerminalInvalidSchedule({ name, message: `The schedule ${name} was not put: ${why}.` })
  const cron = parseCron(expression, timeZone)
  if (Result.isFailure(cron)) return yield* refuse(`${cron.failure} (time zone ${timeZone})`)
  if (state.entries[name] === undefined && Object.keys(state.entries).length >= limit) {
    return yield* refuse(`there are ${limit} already; raise schedulesMax, or use another actor`)
  }
  const nextAtMs = nextTickMs(cron.success, actor.nowMs)
  if (nextAtMs === undefined) return yield* refuse(`"${expression}" never comes`)
  const entry: Entry = { name, cron: expression, timeZone, to, missed, payload, nextAtMs, problem: null }
  const entries = { ...state.entries, [name]: entry }
  actor.setState(yield* arm({ ...state, entries }, nextAtMs, actor))
  return { nextAtMs }
})

/**
 * Makes an actor of schedules; each id is a set of them. Tasks: `Put` (again under the same name replaces) gives the next
 * tick, `Remove` whether there was one, `List` all with their next ticks, `Next` that of one or null. A cron expression has
 * five fields, or six with seconds; the time zone is an IANA name, UTC by default. Where clocks are set forward over a
 * tick, it comes an hour later; where they are set back, once.
 *
 * `missed` says what becomes of ticks that the program was down for: `once` (default) sends the last of them, `skip` none,
 * `all` the last 100; each tick says how many before it are left out.
 */
export const makeSchedule = <const N extends string, P extends Schema.Codec<unknown, unknown>>(
  name: N,
  options: ScheduleOptions<P>,
): Schedule<N, P> => {
  const limit = options.schedulesMax ?? SCHEDULES_MAX
  if (!(Number.isSafeInteger(limit) && limit >= 1 && limit <= LIMIT_MAX)) {
    throw new Error(
      `The schedule ${name} is not defined well: schedulesMax must be a whole number from 1 to ${LIMIT_MAX}, and is ${limit}.`,
    )
  }
  const payload: Schema.Codec<unknown, unknown> = options.payload
  const task: AnyTick = tickTask<string, Schema.Codec<unknown, unknown>>(name, payload)
  const tick: Ref<AnyTick> = {
    kind: "actor",
    type: "",
    id: "",
    tasks: new Map([[task._tag as string, compileTask(task)]]),
  }
  const StateSchema = Schema.Struct({
    entries: Schema.Record(Schema.String, entryOf(payload)),
    wakeAtMs: Schema.NullOr(Schema.Int),
  })
  const stateOf = (actor: ErasedContext) => actor.state as State
  const handlers: Record<string, (given: never, actor: ErasedContext) => Effect.Effect<unknown, unknown>> = {
    Put: (given: Parameters<typeof put>[1], actor) => put(stateOf(actor), given, limit, actor),
    Remove: ({ name: removed }: { readonly name: string }, actor) =>
      Effect.sync(() => {
        const { [removed]: gone, ...entries } = stateOf(actor).entries
        if (gone !== undefined) actor.setState({ ...stateOf(actor), entries } satisfies State)
        return gone !== undefined
      }),
    List: (_: unknown, actor) => Effect.sync(() => Object.values(stateOf(actor).entries)),
    Next: ({ name: asked }: { readonly name: string }, actor) =>
      Effect.sync(() => stateOf(actor).entries[asked]?.nextAtMs ?? null),
    "schedule.wake": (_: unknown, actor) => wake(stateOf(actor), tick, `${name}.Tick`, actor),
  }
  const protocol: ReadonlyArray<AnyTask> = [...scheduleTasks(payload), Wake]
  const initialState: State = { entries: {}, wakeAtMs: null }
  const made = make(name, { protocol, state: StateSchema, initialState, handlers: handlers as never })
  return { ...made, Tick: tickTask(name, options.payload), ref: (id) => made.ref(id) as Ref<never> }
}
