/**
 * The boundary to the application: opens a system of actors over a store, and sends to it.
 *
 * ```ts
 * const program = Effect.gen(function* () {
 *   const system = yield* ActorSystem
 *   return yield* system.ask(Counter.ref("a"), "Add", { by: 1 })
 * })
 * program.pipe(Effect.provide(ActorSystem.layer({ actors: [Counter] })), Effect.provide(SqliteStore.layer("app.db")))
 * ```
 */
import { Clock, Context, Deferred, Effect, Fiber, Layer, Random, Schema, type Scope } from "effect"
import type { AnyActor, Services } from "./actor/Actor.ts"
import type { Ask, AskStream, ReadStream, SendOptions, StreamOptions, Tell } from "./actor/ActorContext.ts"
import { type BoundRef, bindRef, type Sending } from "./actor/BoundRef.ts"
import { IDLE_MS_MIN } from "./actor/checkDefinition.ts"
import type { LifecycleState } from "./actor/lifecycle.ts"
import type { Ref } from "./actor/Ref.ts"
import { Registry } from "./actor/Registry.ts"
import type { AnyTask } from "./actor/Task.ts"
import { Askers } from "./life/Askers.ts"
import { closing, ending, replyOf } from "./life/answer.ts"
import { feedback, type Score } from "./life/feedback.ts"
import { IdMap } from "./life/IdMap.ts"
import type { LiveMessage } from "./life/LiveMessage.ts"
import { Life } from "./life/life.ts"
import { redrive } from "./life/operator/redrive.ts"
import { cancelMany, redriveMany } from "./life/operator/selectMany.ts"
import { KEY_WINDOW_MS, type LivePool, SETTINGS_DEFAULT, type Settings, type System } from "./life/System.ts"
import { Agenda } from "./life/shelf/Agenda.ts"
import { Backlog } from "./life/shelf/Backlog.ts"
import { ChunkClock } from "./life/streams/ChunkClock.ts"
import { readMessage } from "./life/streams/readChunks.ts"
import { Watches } from "./life/Watches.ts"
import { type Address, formatAddress } from "./message/Address.ts"
import { type OutcomeFailure, type SendFailure, TerminalInvalidMessage } from "./message/DeliveryFailure.ts"
import { makeMessageIds } from "./message/MessageId.ts"
import type { Reply } from "./message/Reply.ts"
import { CrashPoints } from "./ports/CrashPoints.ts"
import { MessageStore } from "./ports/MessageStore.ts"
import { type ActorOperations, type Operations, OperatorPort, type RedriveFailure } from "./ports/OperatorPort.ts"
import type { CommitFailure, ReadFailure } from "./ports/StoreFailure.ts"
import { actorOperations } from "./supervision/actorOperations.ts"
import { type HealthChange, PoolMemory } from "./supervision/adaptive/PoolMemory.ts"
import type { SupervisorGroup } from "./supervision/makeSupervisor.ts"
import { Passivator } from "./supervision/Passivator.ts"
import type { AnyPool } from "./supervision/Pool.ts"
import { recallSuspended } from "./supervision/recallSuspended.ts"
import { recordHealth } from "./supervision/recordHealth.ts"
import { SupervisionTree } from "./supervision/SupervisionTree.ts"
import { Supervisor } from "./supervision/Supervisor.ts"

/** Actors escalated more failures than the system takes; it has to be opened anew. */
export class TerminalEscalated extends Schema.TaggedError<TerminalEscalated>()("TerminalEscalated", {
  message: Schema.String,
}) {}

export interface ActorSystemOptions<A extends AnyActor> extends Partial<Settings> {
  /** Every kind of actor that the system runs. */
  readonly actors: ReadonlyArray<A>
  /** Pools over them; their targets are started with the system. */
  readonly pools?: ReadonlyArray<AnyPool>
  /** Which actors stand and fall together (`makeSupervisor`); without any, each stands for itself. */
  readonly supervisors?: ReadonlyArray<SupervisorGroup>
}

export class ActorSystem extends Context.Service<
  ActorSystem,
  {
    /** Binds an actor or a pool to this system: `system.ref(Counter.ref("a")).ask("Add", { by: 1 })`. */
    readonly ref: <T extends AnyTask>(ref: Ref<T>) => BoundRef<T>
    /** Sends and waits for the reply. Interrupting it takes the message back, unless it has an idempotency key. */
    readonly ask: Ask<SendOptions>
    /** Sends and reads the reply as it is written. Leaving it early takes the message back, as with `ask`. */
    readonly stream: AskStream<StreamOptions>
    /**
     * Reads the streamed reply of an accepted message from chunk `from` on, each with its number, while it is written and
     * after its end, and ends as the message ends. Leaving it early leaves the message alone. Fails with
     * `TerminalInvalidMessage` where there is no such message, or it is another's, or it ended before `from`.
     */
    readonly read: ReadStream
    /** Sends, and gives the message's id once it is on disk. */
    readonly tell: Tell<SendOptions, SendFailure>
    /** Waits for the end of an accepted message, whoever sent it. */
    readonly outcome: (messageId: string) => Effect.Effect<Reply, OutcomeFailure | ReadFailure | TerminalInvalidMessage>
    /** Takes a message back; true once that is its end, on disk. False where it has ended otherwise, or never was. */
    readonly cancel: (messageId: string) => Effect.Effect<boolean>
    /**
     * Has a dead letter run again, at its id and with a fresh budget of attempts; with `body` (encoded), on that in place
     * of its own. Succeeds when it is on disk and waits; `outcome` tells how it ends.
     */
    readonly redrive: (messageId: string, body?: string) => Effect.Effect<void, RedriveFailure>
    /** @see Operations.redriveMany */
    readonly redriveMany: Operations["redriveMany"]
    /** @see Operations.cancelMany */
    readonly cancelMany: Operations["cancelMany"]
    /** Scores a reply. */
    readonly feedback: (
      messageId: string,
      score: Score,
    ) => Effect.Effect<void, TerminalInvalidMessage | CommitFailure | ReadFailure>
    /** The lifecycle of an actor in memory; undefined where it is not. */
    readonly lifecycle: (address: Address) => Effect.Effect<LifecycleState | undefined>
    /** Stops an actor: its resource is released, what waits for it moves to its pool or becomes dead letters. */
    readonly stop: ActorOperations["stop"]
    /** Puts an actor on hold, until it is resumed. */
    readonly suspend: ActorOperations["suspend"]
    readonly resume: ActorOperations["resume"]
    /** Brings an actor back that is gone; restarts one that is alive. */
    readonly restart: ActorOperations["restart"]
    /** Unfinished messages: in memory, and of a former process still on disk. Not those that are due much later. */
    readonly unfinished: Effect.Effect<number>
    /** Fails when actors have escalated too often; never succeeds. */
    readonly failure: Effect.Effect<never, TerminalEscalated>
  }
>()("@pontoon/runtime/ActorSystem") {
  /**
   * Opens a system: starts the pools' targets, brings back the unfinished messages of the store, of which the first page is
   * there and the rest follows as those before end, and serves. Closing its
   * scope drains: nothing new is accepted, running handlers may end within `drainMsMax`, the rest is recovered on the
   * next start.
   */
  static readonly layer = <A extends AnyActor>(
    options: ActorSystemOptions<A>,
  ): Layer.Layer<ActorSystem, CommitFailure | ReadFailure, MessageStore | Exclude<Services<A>, Scope.Scope>> =>
    Layer.effect(ActorSystem, open(options))
}

/** A reader who sees nothing for a second takes a stream for dead. */
const CHUNK_LINGER_MS_MAX = 1_000

const SETTINGS = [
  "messageBytesMax",
  "stateBytesMax",
  "journalBytesMax",
  "journalStepsMax",
  "residentMax",
  "readAheadMax",
  "drainMsMax",
  "escalationsMax",
  "suspendedMax",
  "waitingMax",
] as const

/** What cannot be opened as it is written, in one sentence. */
const mistakeIn = (options: ActorSystemOptions<AnyActor>): string | undefined => {
  const names = [...options.actors, ...(options.pools ?? [])].map(({ name }) => name)
  const double = names.find((name, index) => names.indexOf(name) !== index)
  if (double !== undefined) return `there are two actors or pools called ${double}; give each a name of its own`
  for (const setting of SETTINGS) {
    const value = options[setting]
    const min = setting === "drainMsMax" || setting === "escalationsMax" ? 0 : 1
    if (value === undefined || (Number.isSafeInteger(value) && value >= min)) continue
    return `${setting} must be a whole number, ${min} or more, and is ${value}`
  }
  const { idleMsMax = IDLE_MS_MIN } = options
  if (!(Number.isSafeInteger(idleMsMax) && idleMsMax >= IDLE_MS_MIN)) {
    return `idleMsMax must be a whole number, ${IDLE_MS_MIN} or more, and is ${idleMsMax}`
  }
  const { keyWindowMs = KEY_WINDOW_MS.min } = options
  const { max, min } = KEY_WINDOW_MS
  if (!(Number.isSafeInteger(keyWindowMs) && keyWindowMs >= min && keyWindowMs <= max)) {
    return `keyWindowMs must be a whole number from ${min} to ${max}, and is ${keyWindowMs}`
  }
  const lingerMs = options.chunkLingerMs ?? 0
  if (!(lingerMs >= 0 && lingerMs <= CHUNK_LINGER_MS_MAX)) {
    return `chunkLingerMs must be a number from 0 to ${CHUNK_LINGER_MS_MAX}, and is ${lingerMs}`
  }
  return undefined
}

/** Hedges need two attempts of one message at once, which the log does not know yet: what would be hedged is left alone. */
const POOL_TERMS = { retryShare: 0.2, hedgeShare: 0 }

const makePools = (
  options: ActorSystemOptions<AnyActor>,
  registry: Registry<LiveMessage>,
  nowMs: number,
  healthChanged: (pool: string, change: HealthChange) => void,
) => {
  const byName = new Map(options.actors.map((actor) => [actor.name, actor]))
  const pools = new Map<string, LivePool>()
  for (const pool of options.pools ?? []) {
    const cells = pool.targets.map(({ costPerMessage, ref, tier }) => {
      const actor = byName.get(ref.type)
      if (actor === undefined) {
        throw new Error(
          `The pool ${pool.name} has the target ${ref.type}/${ref.id}, and the system no actor ${ref.type}; add it to actors.`,
        )
      }
      const cell = registry.cell({ type: ref.type, id: ref.id }, actor)
      cell.pooled = true
      return { cell, tier, costPerMessage }
    })
    const targets = cells.map(({ cell, costPerMessage, tier }) => ({
      target: cell.key,
      tier,
      slots: cell.actor.concurrency,
      ...(costPerMessage === undefined ? {} : { costPerMessage }),
    }))
    const terms = { ...POOL_TERMS, name: pool.name, policy: pool.policy, tierPenaltyMs: pool.tierPenaltyMs }
    const memory = new PoolMemory(terms, targets, nowMs, (change) => healthChanged(pool.name, change))
    pools.set(pool.name, { pool, cells, memory })
  }
  return pools
}

const makeSystem = Effect.fnUntraced(function* (options: ActorSystemOptions<AnyActor>) {
  const mistake = mistakeIn(options)
  if (mistake !== undefined) return yield* Effect.die(new Error(`The system cannot be opened: ${mistake}.`))
  const settings: Settings = { ...SETTINGS_DEFAULT, ...options }
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const registry = new Registry<LiveMessage>(settings.residentMax)
  const now = () => clock.currentTimeMillisUnsafe()
  const nextRandom = () => random.nextDoubleUnsafe()
  // `layer` asks for the services of every actor; only there are they known by type.
  const services = (yield* Effect.context<never>()) as Context.Context<unknown>
  const fork: System["fork"] = Effect.runForkWith(services)
  const store = yield* MessageStore
  const actors = new Map(options.actors.map((actor) => [actor.name, actor]))
  const system: System = {
    store,
    settings,
    actors,
    pools: makePools(options, registry, now(), (pool, change) => recordHealth(system, pool, change)),
    now,
    random: nextRandom,
    ids: makeMessageIds(now, nextRandom),
    crashPoint: yield* CrashPoints,
    services,
    fork,
    registry,
    live: new IdMap(),
    backlog: undefined,
    agenda: undefined,
    reserved: new Set(),
    askers: new Askers(),
    watches: new Watches({ store, actors, now }),
    chunkClock: new ChunkClock(fork, settings.chunkLingerMs),
    nextOrder: 0,
    alarms: new Set(),
    closing: false,
    closed: false,
  }
  return system
})

/** How long an interrupted handler, and a resource that is let go, are waited for, in milliseconds. */
const STUCK_MS_MAX = 2_000

/** Waits for the end of `effect`, but no longer than `limitMs`; what takes longer is left behind. */
const within = <E>(system: System, effect: Effect.Effect<void, E>, limitMs: number) =>
  Effect.suspend(() => {
    const fiber = system.fork(effect)
    // Interruptible within a finalizer, or the race would wait for its slower half as well.
    return Effect.interruptible(Effect.raceFirst(Effect.asVoid(Fiber.await(fiber)), Effect.sleep(limitMs)))
  })

/** Running handlers may end; then everything else is stopped, and left to the next start. */
const drain = (system: System, life: Life, supervisor: Supervisor) =>
  Effect.gen(function* () {
    system.closing = true
    life.intake.turnAway(false)
    yield* within(system, life.quiet, system.settings.drainMsMax)
    system.closed = true
    life.intake.turnAway(true)
    for (const message of [...system.live.values()]) {
      message.interruption ??= "closing"
      message.fiber?.interruptUnsafe()
    }
    system.askers.endAll((messageId) => ({ _tag: "Unknown", failure: closing(messageId) }))
    for (const alarm of [...system.alarms]) alarm.interruptUnsafe()
    yield* within(system, life.quiet, STUCK_MS_MAX)
    yield* within(system, supervisor.closeAll, STUCK_MS_MAX)
  })

/** Something that goes on beside the work for as long as the system is open. */
const keepGoing = (system: System, effect: Effect.Effect<void>): void => {
  const fiber = system.fork(effect)
  system.alarms.add(fiber)
  fiber.addObserver(() => system.alarms.delete(fiber))
}

const resume = Effect.fnUntraced(function* (system: System, life: Life, supervisor: Supervisor) {
  yield* recallSuspended(system)
  for (const pool of system.pools.values()) for (const { cell } of pool.cells) supervisor.wanted(cell)
  const agenda = new Agenda(system, (message) => life.enqueue(message))
  system.agenda = agenda
  const lastSeq = yield* system.store.lastSeq
  if (lastSeq > 0) {
    const backlog = new Backlog(system, life, lastSeq)
    system.backlog = backlog
    yield* backlog.begin()
    // After what was there before: a watcher hears of an end in its turn.
    yield* supervisor.recallEnds
    if (system.backlog !== undefined) keepGoing(system, backlog.goOn)
  }
  keepGoing(system, agenda.run())
  keepGoing(system, new Passivator(system, supervisor).run())
})

const open = Effect.fnUntraced(function* (options: ActorSystemOptions<AnyActor>) {
  const system = yield* makeSystem(options)
  const broken = yield* Deferred.make<never, TerminalEscalated>()
  const giveUp = (reason: string) => {
    system.fork(close)
    const message = `The system gave up: ${reason}. Open it again once the cause is gone; nothing accepted is lost.`
    Deferred.doneUnsafe(broken, Effect.fail(new TerminalEscalated({ message })))
  }
  const tree = new SupervisionTree(system.actors.keys(), options.supervisors ?? [], system.settings.escalationsMax)
  const life: Life = new Life(system, () => supervisor)
  const supervisor: Supervisor = new Supervisor(system, life, tree, giveUp)
  const close = yield* Effect.cached(drain(system, life, supervisor))
  yield* Effect.addFinalizer(() => close)
  yield* resume(system, life, supervisor)
  const cellAt = (address: Address) => system.registry.find(formatAddress(address))
  const sending: Sending = {
    ask: (ref, task, payload, sendOptions) => life.senders.ask({ ref, task, payload, options: sendOptions ?? {} }),
    stream: (ref, task, payload, sendOptions) =>
      life.senders.stream({ ref, task, payload, options: sendOptions ?? {} }),
    // The codec that decodes the chunks is the one of the task that types them.
    read: (ref, task, messageId, readOptions) => readMessage(system, ref, task, messageId, readOptions) as never,
    tell: (ref, task, payload, sendOptions) =>
      Effect.map(life.senders.accept({ ref, task, payload, options: sendOptions ?? {} }), ({ id }) => id),
  }
  const redriveOne: Operations["redrive"] = (messageId, body) =>
    redrive(system, (message) => life.enqueue(message), messageId, body)
  const operations: Operations = {
    redrive: redriveOne,
    redriveMany: (selection) => redriveMany(system.store.deadLetters, redriveOne, selection),
    cancel: life.cancel,
    cancelMany: (selection) => cancelMany(system.store.unfinished, life.cancel, selection),
    ...actorOperations(system, supervisor),
  }
  yield* (yield* OperatorPort).attach(operations)
  return ActorSystem.of({
    ...sending,
    ...operations,
    ref: bindRef(sending),
    outcome: (messageId) =>
      Effect.gen(function* () {
        const row = yield* system.store.message(messageId)
        if (row === undefined) {
          const message = `There is no message ${messageId} in the log.`
          return yield* new TerminalInvalidMessage({ actor: "", task: "", message })
        }
        const known = replyOf(row)
        if (known !== undefined) return known
        if (!system.actors.has(row.actorType)) {
          const message = `Message ${messageId} waits for an actor ${row.actorType}, which this system does not have.`
          return yield* new TerminalInvalidMessage({ actor: row.actorType, task: row.task, message })
        }
        const end = yield* ending(system, messageId)
        return end._tag === "Replied" ? end.reply : yield* end.failure
      }),
    feedback: (messageId, score) => feedback(system, messageId, score),
    lifecycle: (address) => Effect.sync(() => cellAt(address)?.lifecycle.state),
    unfinished: Effect.sync(() => system.live.size + (system.backlog?.size ?? 0)),
    failure: Deferred.await(broken),
  })
})
