/**
 * The boundary between a user's own XState 5 machine and the runtime: the machine as a durable actor.
 *
 * Its events are messages and its snapshot is the actor's state, sealed with the message that changed it. What the
 * machine wants done becomes what a handler may do: an action is a step, a delayed transition a delayed message to
 * itself, an invoked promise a message to an address beside it, so that the machine takes events while it runs; child
 * machines live in the same state.
 *
 * ```ts
 * const Order = fromMachine("order", machine, {
 *   events: { PAY: { cents: Schema.Int }, CANCEL: {} },
 *   context: Schema.Struct({ paid: Schema.Int }),
 *   actions: { ship: ({ key }) => ship(key) },
 * })
 * yield* system.ask(Order.ref("42"), "PAY", { cents: 100 })
 * ```
 *
 * What the machine decides must follow from its state and the event alone (no clock or dice in guards and `assign`s): it
 * may be stepped again after a crash. What children take and give, and a child machine's context, must be JSON.
 *
 * Not supported: `onSnapshot`, `systemId`, children that are neither machines nor promises, and inline logic that is
 * spawned without a name. `emit` and `log` are actions like others, called "xstate.emit" and "xstate.log".
 */
import { Cause, Effect, Predicate, Schema, type Scope } from "effect"
import { Rpc } from "effect/rpc"
import type { AnyEventObject, AnyStateMachine, ContextFrom, ExecutableActionObject, InputFrom } from "xstate"
import { ID_LENGTH_MAX } from "../message/Address.ts"
import { RETRY_DEFAULT } from "../supervision/restartPolicy.ts"
import { type Actor, type ActorOptions, type HandlerFailure, make } from "./Actor.ts"
import type { ActorContext } from "./ActorContext.ts"
import { MachineState, type StoredMachine } from "./MachineState.ts"
import { machineRun, nameOf } from "./machineRun.ts"
import type { Ref } from "./Ref.ts"
import { jsonOf, type MachineBounds, type MachineInput, type RunExit, stepMachine } from "./stepMachine.ts"
import { type AnyTask, compileTask } from "./Task.ts"

/** The machine threw, is past a bound, or does what a durable one cannot; the message changed nothing. */
export class TerminalMachineMistake extends Schema.TaggedError<TerminalMachineMistake>()("TerminalMachineMistake", {
  actor: Schema.String,
  message: Schema.String,
}) {}

type Context = Schema.Codec<unknown, unknown>
type EventFields = Readonly<Record<string, Readonly<Record<string, Context>>>>

const replyOf = <C extends Context>(context: C) =>
  Schema.Struct({
    status: Schema.Literals(["active", "done", "error", "stopped"]),
    /** XState's state value: a name, or an object of them. */
    value: Schema.Json,
    context,
    /** Of a machine that is done. */
    output: Schema.optionalKey(Schema.Json),
    /** Of a machine that has failed. */
    error: Schema.optionalKey(Schema.Json),
  })
/** What every task of a machine answers: where the machine is once it has taken the event. */
export type MachineReply<C extends Context> = ReturnType<typeof replyOf<C>>

/** A task for each event, and `Snapshot`, which asks without an event. */
export type MachineTasks<E extends EventFields, C extends Context> =
  | { readonly [K in keyof E & string]: Rpc.Rpc<K, Schema.Struct<E[K]>, MachineReply<C>> }[keyof E & string]
  | Rpc.Rpc<"Snapshot", Schema.Void, MachineReply<C>>

/** What an action's Effect is told. */
export interface MachineAct<M extends AnyStateMachine> {
  /** The context when the machine asked for the action. */
  readonly context: ContextFrom<M>
  readonly event: AnyEventObject
  readonly params: unknown
  /** The same in every attempt: hand it to whatever the action changes outside. */
  readonly key: string
}

type Acts<M extends AnyStateMachine> = Readonly<
  Record<string, (act: MachineAct<M>) => Effect.Effect<unknown, HandlerFailure, unknown>>
>
type Runs = Readonly<
  Record<string, (run: { readonly input: never; readonly key: string }) => Effect.Effect<unknown, unknown, unknown>>
>
type ServicesOf<F> = {
  readonly [K in keyof F]: F[K] extends (...args: never) => Effect.Effect<infer _A, infer _E, infer R> ? R : never
}[keyof F]

export interface MachineOptions<
  M extends AnyStateMachine,
  E extends EventFields,
  C extends Context,
  A extends Acts<M>,
  P extends Runs,
> extends Pick<
    ActorOptions<AnyTask, C, undefined, never>,
    "version" | "migrations" | "supervision" | "retry" | "mailbox"
  > {
  /** The events that may come from outside, with what they carry beside their type. */
  readonly events: E
  /** The schema of the machine's context. */
  readonly context: C
  /** What the machine starts with, by the actor's id. */
  readonly input?: (id: string) => InputFrom<M>
  /** Actions by name, as Effects; each is a step. The machine's own function is run where there is none. */
  readonly actions?: A & Acts<M>
  /** Invoked and spawned actors by name, as Effects; the machine's own promise is run where there is none. */
  readonly actors?: P
  /** Events that machine and children take for one message. Default 1,000. Raising it allows longer exchanges. */
  readonly eventsMax?: number
  /** Children alive at once, at every depth. Default 1,000. Raising it makes the state, and so each commit, larger. */
  readonly childrenMax?: number
  /** Timers at once. Default 1,000. Raising it makes the state larger, and fills the actor's mailbox. */
  readonly timersMax?: number
}

const Exit = Schema.Union([
  Schema.Struct({ ok: Schema.Literal(true), output: Schema.optionalKey(Schema.Json) }),
  Schema.Struct({ ok: Schema.Literal(false), error: Schema.Struct({ name: Schema.String, message: Schema.String }) }),
])
const Timer = Rpc.make("xstate.timer", {
  payload: { token: Schema.Int, to: Schema.String, event: Schema.Json },
})
const Run = Rpc.make("xstate.run", {
  payload: {
    parent: Schema.String,
    path: Schema.String,
    run: Schema.Int,
    srcs: Schema.Array(Schema.String),
    input: Schema.optionalKey(Schema.Json),
  },
})
const Settled = Rpc.make("xstate.settled", { payload: { path: Schema.String, run: Schema.Int, exit: Exit } })
const OWN = [Timer, Run, Settled] as const
type Own = (typeof OWN)[number]
const ownTasks = new Map(OWN.map((task) => [task._tag as string, compileTask(task)]))
const ownRef = (type: string, id: string): Ref<Own> => ({ kind: "actor", type, id, tasks: ownTasks })

type RunPayload = (typeof Run.payloadSchema)["Type"]
type Handler = ActorContext<AnyTask, unknown, undefined>

/** One action as a step. */
const act = (
  name: string,
  action: ExecutableActionObject,
  effects: Acts<AnyStateMachine>,
  actor: Handler,
): Effect.Effect<unknown, unknown, unknown> => {
  const effect = effects[action.type]
  const { context, event } = action.info
  const { exec, params, type } = action
  // XState's own actions, such as `xstate.log`, have nothing to call that would outlive this step.
  if (effect === undefined && type.startsWith("xstate.")) return Effect.void
  if (effect === undefined && exec === undefined) {
    const message = `${name} asks for the action ${type}, which nobody has written; give it in \`actions\`.`
    return Effect.fail(new TerminalMachineMistake({ actor: name, message }))
  }
  return actor.step(type, Schema.Null, (key) =>
    Effect.as(effect?.({ context, event, params, key }) ?? Effect.sync(() => exec?.(action.info, params)), null),
  )
}

/** How a run ended; a failure counts as an end once the message has no attempt left that could do better. */
const settle = (effect: Effect.Effect<unknown, unknown, unknown>, attemptsLeft: boolean) =>
  effect.pipe(
    Effect.map((value): RunExit => {
      const output = jsonOf(value)
      return output === undefined ? { ok: true } : { ok: true, output }
    }),
    Effect.catchCause((cause): Effect.Effect<RunExit, unknown> => {
      const error = Cause.squash(cause)
      const tag = Predicate.hasProperty(error, "_tag") ? String(error._tag) : ""
      const again = attemptsLeft && (Cause.hasDies(cause) || tag.startsWith("Retryable"))
      if (again || Cause.hasInterrupts(cause)) return Effect.failCause(cause)
      return Effect.succeed({ ok: false, error: nameOf(error) })
    }),
  )

/** What the handlers know of their machine. */
interface Definition {
  readonly name: string
  readonly machine: AnyStateMachine
  readonly bounds: MachineBounds
  readonly attemptsMax: number
  readonly input: (id: string) => unknown
  readonly actions: Acts<AnyStateMachine>
  readonly actors: Runs
}

/** Steps the machine, and does what it wants done. */
const takeInput = Effect.fnUntraced(function* (
  definition: Definition,
  input: MachineInput | undefined,
  actor: Handler,
) {
  const { actions, bounds, machine, name } = definition
  const { id } = actor.self
  const { acts, state } = yield* Effect.try({
    // The state was decoded by this definition's own schema.
    try: () => stepMachine(machine, bounds, actor.state as StoredMachine | null, () => definition.input(id), input),
    catch: (error) => {
      const why = error instanceof Error ? error.message : String(error)
      return new TerminalMachineMistake({ actor: name, message: `The machine of ${name}/${id} cannot go on: ${why}.` })
    },
  })
  for (const each of acts) {
    if (each._tag === "Action") yield* act(`${name}/${id}`, each.action, actions, actor)
    else if (each._tag === "Timer") {
      const { delayMs, event, to, token } = each
      yield* actor.send(ownRef(name, id), "xstate.timer", { token, to, event }, { delayMs })
    } else {
      const { input: given, path, run, srcs } = each
      // Only a mailbox of its own: the message itself says whose it is.
      const beside = ownRef(name, `${run}~${id}`.slice(0, ID_LENGTH_MAX))
      const payload = { parent: id, path, run, srcs, ...(given === undefined ? {} : { input: given }) }
      yield* actor.send(beside, "xstate.run", payload)
    }
  }
  actor.setState(state)
  const { historyValue: _history, ...shown } = state.root
  return shown
})

/** Runs an invoked promise or Effect at its address beside the machine, and tells the machine of its end. */
const runChild = Effect.fnUntraced(function* (definition: Definition, payload: RunPayload, actor: Handler) {
  const { input, parent, path, run, srcs } = payload
  const src = srcs[srcs.length - 1] ?? ""
  const effect = definition.actors[src]
  const left = actor.message.attempt < definition.attemptsMax
  const exit: RunExit = yield* actor.step(src, Exit, (key) =>
    effect === undefined
      ? machineRun(definition.machine, srcs, input)
      : settle(effect({ input: input as never, key }), left),
  )
  yield* actor.send(ownRef(definition.name, parent), "xstate.settled", { path, run, exit })
})

/**
 * Makes a durable actor of `machine`. Its tasks are named like the events of `options.events`, and answer with the
 * machine's state, value and context; `Snapshot` answers the same without an event. The machine starts with its first
 * message.
 */
export const fromMachine = <
  M extends AnyStateMachine,
  const E extends EventFields,
  C extends Context,
  const A extends Acts<M> = Record<never, never>,
  const P extends Runs = Record<never, never>,
>(
  name: string,
  machine: M,
  options: MachineOptions<M, E, C, A, P>,
): Actor<MachineTasks<E, C>, Exclude<ServicesOf<A> | ServicesOf<P>, Scope.Scope>> => {
  const { childrenMax = 1_000, eventsMax = 1_000, timersMax = 1_000 } = options
  const context: Context = options.context
  const reply = replyOf(context)
  const given = options.input
  const definition: Definition = {
    name,
    machine,
    bounds: { childrenMax, eventsMax, timersMax },
    attemptsMax: options.retry?.attemptsMax ?? RETRY_DEFAULT.attemptsMax,
    input: given === undefined ? () => undefined : given,
    // Called with what this very machine says of its own actions.
    actions: (options.actions ?? {}) as Acts<AnyStateMachine>,
    actors: options.actors ?? {},
  }
  const take = (input: MachineInput | undefined, actor: Handler) => takeInput(definition, input, actor)
  const events = Object.entries(options.events).map(([type, payload]) => Rpc.make(type, { payload, success: reply }))
  const handlers: Record<string, unknown> = {
    Snapshot: (_: unknown, actor: Handler) => take(undefined, actor),
    "xstate.timer": (timer: (typeof Timer.payloadSchema)["Type"], actor: Handler) =>
      Effect.asVoid(take({ _tag: "Timer", ...timer }, actor)),
    "xstate.run": (run: RunPayload, actor: Handler) => runChild(definition, run, actor),
    "xstate.settled": (end: (typeof Settled.payloadSchema)["Type"], actor: Handler) =>
      Effect.asVoid(take({ _tag: "Settled", ...end }, actor)),
  }
  for (const type of Object.keys(options.events)) {
    handlers[type] = (payload: object, actor: Handler) => take({ _tag: "Event", event: { ...payload, type } }, actor)
  }
  const protocol: ReadonlyArray<AnyTask> = [...events, Rpc.make("Snapshot", { success: reply }), ...OWN]
  const { mailbox, migrations, retry, supervision, version } = options
  const made = make(name, {
    protocol,
    state: Schema.NullOr(MachineState(context)),
    initialState: null,
    handlers: handlers as never,
    ...(mailbox === undefined ? {} : { mailbox }),
    ...(retry === undefined ? {} : { retry }),
    ...(supervision === undefined ? {} : { supervision }),
    ...(version === undefined ? {} : { version }),
    ...(migrations === undefined ? {} : { migrations }),
  })
  // The protocol is made of the events, as the type says; its own three tasks are nobody else's business.
  return { ...made, ref: (id) => made.ref(id) as Ref<never> }
}
