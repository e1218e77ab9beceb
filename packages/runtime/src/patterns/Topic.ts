/**
 * The boundary between those who have news and those who want them: a topic is an actor that keeps the last events, and
 * tells its subscribers of each, from wherever they are.
 *
 * A subscriber is an actor with the task that the topic defines (`topic.Event`); what it gets is sent in the commit that
 * moves its place in the topic on, so that it gets every event once, in order. One that takes nothing now (its mailbox is
 * full, it has failed) keeps its place and holds nobody back; the topic tries it again.
 *
 * ```ts
 * const Prices = makeTopic("prices", { event: Schema.Struct({ item: Schema.String, cents: Schema.Int }) })
 * const Shop = Actor.make("shop", { protocol: [Prices.Event], handlers: { [Prices.Event._tag]: ({ event }) => ... } })
 * yield* system.tell(Prices.ref("eu"), "Subscribe", { type: "shop", id: "1", from: 0 })
 * yield* system.tell(Prices.ref("eu"), "Publish", { item: "tea", cents: 100 }, { idempotencyKey: "change-17" })
 * ```
 */
import { Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { type Actor, make } from "../actor/Actor.ts"
import type { ErasedContext } from "../actor/ActorContext.ts"
import type { Ref } from "../actor/Ref.ts"
import { type AnyTask, compileTask } from "../actor/Task.ts"
import { Address } from "../message/Address.ts"

/** The topic has as many subscribers as it takes. */
export class TerminalTopicFull extends Schema.TaggedError<TerminalTopicFull>()("TerminalTopicFull", {
  message: Schema.String,
}) {}

export interface TopicOptions<E extends Schema.Codec<unknown, unknown>> {
  /** The schema of an event. */
  readonly event: E
  /**
   * How many events a topic keeps for late subscribers and slow ones. Default 256, at least 1, at most 10,000. The log is
   * the topic's state and written with each event, so raising it makes publishing costlier.
   */
  readonly retain?: number
  /** Subscribers of one topic. Default 1,000, at most 10,000. Each is a message per event, in one commit. */
  readonly subscribersMax?: number
}

/** Sent in one commit at most, over all subscribers; the rest goes with the next. 1,000 rows take some 20 ms of a store. */
const SENDS_MAX = 1_000
/**
 * How soon subscribers that took nothing are tried again, in milliseconds: about as long as a full mailbox needs, and twice
 * as long each time that nobody took anything, up to a minute. One that is gone for good costs a commit a minute.
 */
const RETRY_MS = 1_000
const RETRY_MS_MAX = 60_000
const LIMIT_MAX = 10_000

const Subscriber = Schema.Struct({ type: Address.fields.type, id: Address.fields.id, next: Schema.Int })
type Subscriber = (typeof Subscriber)["Type"]
interface State {
  /** The offset of the first event that is kept. */
  readonly first: number
  readonly events: ReadonlyArray<unknown>
  readonly subscribers: Readonly<Record<string, Subscriber>>
  /** Whether a `Pump` is on its way. */
  readonly pumping: boolean
  /** How often in a row nobody took anything. */
  readonly fruitless: number
}

const Pump = Rpc.make("topic.pump")
const pumpTasks = new Map([[Pump._tag as string, compileTask(Pump)]])

const eventTask = <const N extends string, E extends Schema.Codec<unknown, unknown>>(name: N, event: E) =>
  Rpc.make(`${name}.Event`, {
    // `missed`: how many events before this one the topic no longer had.
    payload: { topic: Schema.String, offset: Schema.Int, missed: Schema.Int, event },
  })
type AnyEvent = ReturnType<typeof eventTask<string, Schema.Codec<unknown, unknown>>>
const topicTasks = <E extends Schema.Codec<unknown, unknown>>(event: E) =>
  [
    Rpc.make("Publish", { payload: event, success: Schema.Int }),
    Rpc.make("Subscribe", {
      payload: { type: Subscriber.fields.type, id: Subscriber.fields.id, from: Schema.optionalKey(Schema.Int) },
      success: Schema.Int,
      error: TerminalTopicFull,
    }),
    Rpc.make("Unsubscribe", { payload: { type: Subscriber.fields.type, id: Subscriber.fields.id } }),
    Rpc.make("Read", {
      payload: { from: Schema.Int, limit: Schema.optionalKey(Schema.Int) },
      success: Schema.Struct({ first: Schema.Int, next: Schema.Int, events: Schema.Array(event) }),
    }),
  ] as const

/** An actor with the task that it tells its subscribers. */
export interface Topic<N extends string, E extends Schema.Codec<unknown, unknown>>
  extends Actor<ReturnType<typeof topicTasks<E>>[number], never> {
  /** Stands in a subscriber's protocol. */
  readonly Event: ReturnType<typeof eventTask<N, E>>
}

const check = (name: string, option: string, value: number): number => {
  if (Number.isSafeInteger(value) && value >= 1 && value <= LIMIT_MAX) return value
  throw new Error(
    `The topic ${name} is not defined well: ${option} must be a whole number from 1 to ${LIMIT_MAX}, and is ${value}.`,
  )
}

/** Sends what subscribers do not have yet, each from its place on. */
const pump = Effect.fnUntraced(function* (state: State, told: Ref<AnyEvent>, name: string, actor: ErasedContext) {
  const end = state.first + state.events.length
  const subscribers: Record<string, Subscriber> = { ...state.subscribers }
  let sends = 0
  let left = false
  for (const [key, subscriber] of Object.entries(subscribers)) {
    let { next } = subscriber
    while (next < end && sends < SENDS_MAX) {
      const offset = Math.max(next, state.first)
      const payload = { topic: actor.self.id, offset, missed: offset - next, event: state.events[offset - state.first] }
      const ref = { ...told, type: subscriber.type, id: subscriber.id }
      const sent = yield* Effect.result(actor.send(ref, `${name}.Event`, payload))
      if (sent._tag === "Failure") break
      sends++
      next = offset + 1
    }
    left ||= next < end
    subscribers[key] = { ...subscriber, next }
  }
  const fruitless = left && sends === 0 ? state.fruitless + 1 : 0
  if (left && !state.pumping) {
    const again = { kind: "actor", type: actor.self.type, id: actor.self.id, tasks: pumpTasks } as Ref<typeof Pump>
    const delayMs = sends >= SENDS_MAX ? 0 : Math.min(RETRY_MS * 2 ** Math.min(fruitless, 10), RETRY_MS_MAX)
    yield* actor.send(again, "topic.pump", undefined, { delayMs })
  }
  actor.setState({ ...state, subscribers, pumping: left, fruitless } satisfies State)
})

/**
 * Makes an actor of topics; each id is one. Tasks: `Publish` gives the event's offset (counted from 0; the same for a
 * second publication under the same idempotency key), `Subscribe` gives the offset from which on it will tell (`from`, or
 * what comes next; a subscriber who subscribes again without `from` keeps its place), `Unsubscribe`, and `Read` for those
 * who would rather ask: at most 100 events unless `limit` says otherwise.
 */
export const makeTopic = <const N extends string, E extends Schema.Codec<unknown, unknown>>(
  name: N,
  options: TopicOptions<E>,
): Topic<N, E> => {
  const retain = check(name, "retain", options.retain ?? 256)
  const subscribersMax = check(name, "subscribersMax", options.subscribersMax ?? 1_000)
  const event: Schema.Codec<unknown, unknown> = options.event
  const tellTask: AnyEvent = eventTask<string, Schema.Codec<unknown, unknown>>(name, event)
  const told: Ref<AnyEvent> = {
    kind: "actor",
    type: "",
    id: "",
    tasks: new Map([[tellTask._tag as string, compileTask(tellTask)]]),
  }
  const StateSchema = Schema.Struct({
    first: Schema.Int,
    events: Schema.Array(event),
    subscribers: Schema.Record(Schema.String, Subscriber),
    pumping: Schema.Boolean,
    fruitless: Schema.Int,
  })
  const handlers: Record<string, (payload: never, actor: ErasedContext) => Effect.Effect<unknown, unknown>> = {
    Publish: (event: unknown, actor) => {
      const state = actor.state as State
      const events = [...state.events, event].slice(-retain)
      const offset = state.first + state.events.length
      return Effect.as(pump({ ...state, events, first: offset + 1 - events.length }, told, name, actor), offset)
    },
    Subscribe: ({ from, id, type }: { readonly type: string; readonly id: string; readonly from?: number }, actor) => {
      const state = actor.state as State
      const key = `${type}/${id}`
      const end = state.first + state.events.length
      const before = state.subscribers[key]
      if (before === undefined && Object.keys(state.subscribers).length >= subscribersMax) {
        const message = `${name}/${actor.self.id} has ${subscribersMax} subscribers and takes no more; raise subscribersMax, or use another topic.`
        return Effect.fail(new TerminalTopicFull({ message }))
      }
      const next = from === undefined ? (before?.next ?? end) : Math.min(Math.max(0, from), end)
      const subscribers = { ...state.subscribers, [key]: { type, id, next } }
      return Effect.as(pump({ ...state, subscribers }, told, name, actor), next)
    },
    Unsubscribe: ({ id, type }: { readonly type: string; readonly id: string }, actor) =>
      Effect.sync(() => {
        const state = actor.state as State
        const { [`${type}/${id}`]: _gone, ...subscribers } = state.subscribers
        actor.setState({ ...state, subscribers } satisfies State)
      }),
    Read: ({ from, limit = 100 }: { readonly from: number; readonly limit?: number }, actor) =>
      Effect.sync(() => {
        const { events, first } = actor.state as State
        const start = Math.max(from, first)
        const page = events.slice(start - first, start - first + Math.max(0, limit))
        return { first: start, next: start + page.length, events: page }
      }),
    "topic.pump": (_: unknown, actor) => pump({ ...(actor.state as State), pumping: false }, told, name, actor),
  }
  const protocol: ReadonlyArray<AnyTask> = [...topicTasks(event), Pump]
  const initialState: State = { first: 0, events: [], subscribers: {}, pumping: false, fruitless: 0 }
  const made = make(name, { protocol, state: StateSchema, initialState, handlers: handlers as never })
  return { ...made, Event: eventTask(name, options.event), ref: (id) => made.ref(id) as Ref<never> }
}
