/**
 * The boundary to user code: what an actor is, as its author writes it.
 *
 * ```ts
 * const Counter = Actor.make("counter", {
 *   protocol: [Rpc.make("Add", { payload: { by: Schema.Number }, success: Schema.Number })],
 *   state: Schema.Number,
 *   initialState: 0,
 *   handlers: {
 *     Add: ({ by }, actor) => Effect.sync(() => {
 *       actor.setState(actor.state + by)
 *       return actor.state
 *     }),
 *   },
 * })
 * ```
 */
import { Effect, Schema, type Scope } from "effect"
import type { Rpc } from "effect/rpc"
import { type Address, Address as AddressSchema, ID_LENGTH_MAX, isAddressId } from "../message/Address.ts"
import { RETRY_DEFAULT, type RetryPolicy, SUPERVISION_DEFAULT, type Supervision } from "../supervision/restartPolicy.ts"
import type { ActorContext, ActorSelf, ErasedContext } from "./ActorContext.ts"
import { checkDefinition } from "./checkDefinition.ts"
import { decodeJsonText, encodeJsonText } from "./jsonText.ts"
import type { StateMigrations } from "./migrateState.ts"
import type { Ref } from "./Ref.ts"
import { type AnyTask, compileTask, type DeclaredError, type TaskCodec, type Whole } from "./Task.ts"
import { Terminated } from "./Terminated.ts"

/** A failure that says who retries, without being declared by the task. */
export interface HandlerFailure {
  readonly _tag: `Retryable${string}` | `Terminal${string}`
  readonly message: string
}

export { migration, type StateMigration, type StateMigrations } from "./migrateState.ts"
export type { Ref } from "./Ref.ts"

/** One function a task: decoded payload and context in, the reply (a streaming task's whole) out. */
export type Handlers<T extends AnyTask, State, Resource, R> = {
  readonly [Tag in Rpc.Tag<T>]: (
    payload: Rpc.Payload<Rpc.ExtractTag<T, Tag>>,
    actor: ActorContext<Rpc.ExtractTag<T, Tag>, State, Resource>,
  ) => Effect.Effect<Whole<Rpc.ExtractTag<T, Tag>>, DeclaredError<Rpc.ExtractTag<T, Tag>> | HandlerFailure, R>
}

export interface MailboxOptions {
  /** Messages that may wait; what becomes of one more says `whenFull`. Default 10,000, from 1. Raising it costs memory. */
  readonly capacity: number
  /**
   * What becomes of a message for which there is no place. `"reject"` (the default): its sender gets `RetryableMailboxFull`,
   * with a time after which to send it again. `"wait"`: its sender waits for a place, in order, for as long as its
   * `timeoutMs`. `"dropOldest"`: the oldest waiting message of the same task and of no higher priority is ended for it,
   * with `TerminalDropped`; where there is none, it is rejected.
   */
  readonly whenFull: "reject" | "wait" | "dropOldest"
  /** Senders that may wait for a place; one more is rejected. Default 1,000, from 1. Raising it costs memory. */
  readonly waitersMax: number
  /** Whether a message in backoff holds later ones back. Default false. */
  readonly strict: boolean
  /**
   * Milliseconds that a message waits for one more level of priority: nothing is passed for ever. Default 60,000 (a minute),
   * from 1 to 86,400,000 (a day). Raising it lets higher priorities pass a waiting message for longer.
   */
  readonly ageingMs: number
}

const MAILBOX_DEFAULT: MailboxOptions = {
  // Deep enough for any burst that a later drain can still serve within minutes, and about 10 MB of bodies of 1 KiB.
  capacity: 10_000,
  whenFull: "reject",
  // Each is a sender with its message in its hands, as dear as one that waits inside.
  waitersMax: 1_000,
  strict: false,
  // Who waits for an answer notices a minute, and hardly a second: below that, priorities are kept.
  ageingMs: 60_000,
}

export interface ActorOptions<T extends AnyTask, S extends Schema.Codec<unknown, unknown>, Resource, R> {
  /** The tasks that the actor understands: effect/rpc definitions. */
  readonly protocol: ReadonlyArray<T>
  /** What lasts between messages and over restarts. Without it the actor has no state (`null`). */
  readonly state?: S
  /** The state of an actor that was never used. */
  readonly initialState?: S["Type"] | ((id: string) => S["Type"])
  /** The version of the state's shape, from 1 on. Default 1; a stored state of a higher version fails the actor. */
  readonly version?: number
  /**
   * How a stored state of an older version is brought to the next, by that version. Default none: then an older state must
   * fit the present schema as it is. Where there are any, one that is missing on the way fails the actor.
   */
  readonly migrations?: StateMigrations
  readonly handlers: Handlers<T, S["Type"], Resource, R>
  /**
   * What the actor holds while it lives, such as a model's process; it is released when its scope closes. An actor with
   * a start is `starting` until it is done, and is restarted when `self.crash` is called.
   */
  readonly start?: (self: ActorSelf) => Effect.Effect<Resource, HandlerFailure, R | Scope.Scope>
  /** Messages run at once. Default 1; more is for actors without state of their own, such as models. */
  readonly concurrency?: number
  readonly supervision?: Partial<Supervision>
  readonly retry?: Partial<RetryPolicy>
  readonly mailbox?: Partial<MailboxOptions>
  /**
   * How long an actor that nobody uses stays in memory, in milliseconds, from 1,000 on; it leaves up to a quarter later.
   * Default the system's. An actor with a start stays unless it says this itself: what it holds, such as a model, may take
   * longer to bring back than a message can wait. A pool's targets stay.
   */
  readonly idleMsMax?: number
}

/** An actor as the runtime sees it, whatever its types. */
export interface AnyActor {
  readonly name: string
  readonly tasks: ReadonlyMap<string, TaskCodec>
  readonly concurrency: number
  readonly version: number
  /** Undefined where older states are read as they are. */
  readonly migrations: StateMigrations | undefined
  readonly supervision: Supervision
  readonly retry: RetryPolicy
  readonly mailbox: MailboxOptions
  /** Undefined where the system's counts. */
  readonly idleMsMax: number | undefined
  readonly encodeState: (state: unknown) => Effect.Effect<string, Schema.SchemaError>
  readonly decodeState: (text: string) => Effect.Effect<unknown, Schema.SchemaError>
  readonly initialState: (id: string) => unknown
  readonly start: ((self: ActorSelf) => Effect.Effect<unknown, HandlerFailure, unknown>) | undefined
  /** Runs the handler of `task`; `payload` must come out of that task's own schema. */
  readonly handle: (task: string, payload: unknown, actor: ErasedContext) => Effect.Effect<unknown, unknown, unknown>
  readonly "~services"?: unknown
}

export interface Actor<in out T extends AnyTask, out R> extends AnyActor {
  /** Names one actor of this kind; it need not exist yet. Throws where the id is not one (see `Address`). */
  readonly ref: (id: string) => Ref<T>
  readonly "~services"?: R
}

/** The services that an actor's handlers and start need. */
export type Services<A> = A extends { readonly "~services"?: infer R } ? Exclude<R, undefined> : never

type ErasedHandler = (payload: never, actor: never) => Effect.Effect<unknown, unknown, unknown>

/** The services that any of the handlers needs. */
type HandlerServices<H> = {
  readonly [Tag in keyof H]: H[Tag] extends (...args: never) => Effect.Effect<infer _A, infer _E, infer R> ? R : never
}[keyof H]

const isInitializer = (initial: unknown): initial is (id: string) => unknown => typeof initial === "function"

const isAddress = Schema.is(AddressSchema)

/** Gives the address back; throws where a part of it cannot be one. */
export const checkAddress = (address: Address): Address => {
  if (isAddress(address)) return address
  const { id, type } = address
  throw new Error(
    `${JSON.stringify(`${type}/${id}`)} names no actor or pool: a type is kebab-case, of at most 64 characters, and an id has 1 to ${ID_LENGTH_MAX} printable ones.`,
  )
}

export const make = <
  T extends AnyTask,
  S extends Schema.Codec<unknown, unknown> = typeof Schema.Null,
  Resource = undefined,
  R = never,
  const H extends Handlers<T, S["Type"], Resource, unknown> = Handlers<T, S["Type"], Resource, R>,
>(
  name: string,
  // The handlers' services are read off their own type: through `Handlers` the compiler does not find them.
  options: Omit<ActorOptions<T, S, Resource, R>, "handlers"> & { readonly handlers: H },
): Actor<T, Exclude<R | HandlerServices<H>, Scope.Scope>> => {
  checkAddress({ type: name, id: "x" })
  const homonym = options.protocol.find((task) => task._tag === Terminated._tag && !Object.is(task, Terminated))
  if (homonym !== undefined) {
    throw new Error(
      `The actor ${name} is not defined well: its task Terminated is not the runtime's own; import that, or name it otherwise.`,
    )
  }
  const tasks = new Map(options.protocol.map((task) => [task._tag, compileTask(task)]))
  const state = options.state ?? Schema.Null
  const { initialState } = options
  const handlers = new Map<string, ErasedHandler>(Object.entries(options.handlers))
  const actor: Actor<T, Exclude<R | HandlerServices<H>, Scope.Scope>> = {
    name,
    tasks,
    concurrency: options.concurrency ?? 1,
    version: options.version ?? 1,
    migrations: options.migrations,
    supervision: { ...SUPERVISION_DEFAULT, ...options.supervision },
    retry: { ...RETRY_DEFAULT, ...options.retry },
    mailbox: { ...MAILBOX_DEFAULT, ...options.mailbox },
    idleMsMax: options.idleMsMax,
    encodeState: encodeJsonText(state),
    decodeState: decodeJsonText(state),
    initialState: (id) => (isInitializer(initialState) ? initialState(id) : (initialState ?? null)),
    start: options.start,
    handle: (task, payload, actor) => {
      const handler = handlers.get(task)
      if (handler === undefined) return Effect.die(new Error(`${name} has no handler for ${task}`))
      // Both were made by this very definition: the payload by the task's schema, the context by `makeContext`.
      return handler(payload as never, actor as never)
    },
    ref: (id) => {
      if (!isAddressId(id)) checkAddress({ type: name, id })
      return { kind: "actor", type: name, id, tasks }
    },
  }
  checkDefinition(name, {
    ...actor,
    ...actor.retry,
    ...actor.supervision,
    ...actor.mailbox,
    tasks: options.protocol.map((task) => task._tag),
    handlers: [...handlers.keys()],
    hasState: options.state !== undefined,
    hasInitialState: initialState !== undefined,
  })
  return actor
}
