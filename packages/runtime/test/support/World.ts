/**
 * The boundary between a test and a whole system: one log, and the systems that open it one after the other. `crash` is
 * kill -9: from then on the old system cannot write a byte, and a new one has to make do with what is in the log.
 */
import { type Actor, ActorSystem, type ActorSystemOptions, MessageStore } from "@pontoon/runtime"
import { type MemoryLog, MemoryStore, type MemoryStoreHandle } from "@pontoon/runtime/testing"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"

type Store = MessageStore["Service"]
type System = ActorSystem["Service"]

export interface WorldOptions<A extends Actor.AnyActor> extends ActorSystemOptions<A> {
  /** Stands between the system and its store, for troubles. */
  readonly wrap?: (store: Store, log: MemoryLog) => Store
}

export interface World {
  readonly system: System
  readonly log: MemoryLog
  readonly reader: MemoryStoreHandle["reader"]
  /** Dies, and starts again. */
  readonly crash: Effect.Effect<void>
  /** Dies, and starts again as another program. */
  readonly crashInto: <B extends Actor.AnyActor>(options: WorldOptions<B>) => Effect.Effect<void>
  /** Drains and closes the system. */
  readonly close: Effect.Effect<void>
}

const boot = <A extends Actor.AnyActor>({ log, store }: MemoryStoreHandle, options: WorldOptions<A>) =>
  Effect.gen(function* () {
    const scope = Scope.makeUnsafe()
    const layer = ActorSystem.layer(options).pipe(
      Layer.provide(Layer.succeed(MessageStore, options.wrap?.(store, log) ?? store)),
    )
    // No actor of these tests needs a service.
    const built = Layer.buildWithScope(layer, scope) as Effect.Effect<Context.Context<ActorSystem>>
    return { system: Context.get(yield* built, ActorSystem), scope }
  })

/** Opens a system over an empty log. It is closed with the test, unless it crashed. */
export const makeWorld = <A extends Actor.AnyActor>(
  options: WorldOptions<A>,
): Effect.Effect<World, never, Scope.Scope> =>
  Effect.gen(function* () {
    let handle = yield* MemoryStore.make
    let booted = yield* boot(handle, options)
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        const closing = yield* Effect.forkChild(Scope.close(booted.scope, Exit.void), { startImmediately: true })
        yield* turns
        // Past every wait of a drain: a test may leave a handler running.
        yield* TestClock.adjust(60_000)
        yield* Fiber.join(closing)
      }),
    )
    const crashInto = <B extends Actor.AnyActor>(next: WorldOptions<B>) =>
      Effect.gen(function* () {
        handle = yield* handle.reopen
        booted = yield* boot(handle, next)
      })
    return {
      get system() {
        return booted.system
      },
      get log() {
        return handle.log
      },
      get reader() {
        return handle.reader
      },
      crash: Effect.suspend(() => crashInto(options)),
      crashInto,
      close: Effect.suspend(() => Scope.close(booted.scope, Exit.void)),
    }
  })

/** Lets everything run that can run without time passing. */
export const turns = Effect.gen(function* () {
  for (let turn = 0; turn < 200; turn++) yield* Effect.yieldNow
})

/** The rows of the log, in order of acceptance. */
export const rows = (world: World) => [...world.log.messages.values()]

/** The only row of the log, or the nth. */
export const row = (world: World, index = 0) => {
  const found = rows(world)[index]
  if (found === undefined) throw new Error(`there is no message ${index} in the log`)
  return found
}

export const lifecycleOf = (world: World, key: string) =>
  world.log.lifecycle
    .filter(({ actorId, actorType }) => `${actorType}/${actorId}` === key)
    .map(({ event, from, to }) => `${from} ${event} ${to}`)
