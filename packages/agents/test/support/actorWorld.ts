/**
 * The boundary between a test and actors over real models: one log in memory, and the systems that open it one after the
 * other. Models have processes of their own, so time here is real.
 */
import { type Actor, ActorSystem, type ActorSystemOptions, MessageStore } from "@pontoon/runtime"
import { MemoryStore } from "@pontoon/runtime/testing"
import { Context, Effect, Exit, Layer, Scope, Stream } from "effect"
import type { DecoderHandle } from "../../src/index.ts"

type System = ActorSystem["Service"]

/** Opens a system over an empty log. */
export const openWorld = async <A extends Actor.AnyActor>(options: ActorSystemOptions<A>) => {
  let handle = await Effect.runPromise(MemoryStore.make)
  let scope = Scope.makeUnsafe()
  let system: System
  const boot = async <B extends Actor.AnyActor>(program: ActorSystemOptions<B>) => {
    scope = Scope.makeUnsafe()
    const store = Layer.succeed(MessageStore, handle.store)
    // No actor of these tests needs a service.
    const layer = ActorSystem.layer(program).pipe(Layer.provide(store)) as Layer.Layer<ActorSystem>
    system = Context.get(await Effect.runPromise(Layer.buildWithScope(layer, scope)), ActorSystem)
  }
  const close = () => Effect.runPromise(Scope.close(scope, Exit.void))
  await boot(options)
  return {
    system: () => system,
    messages: () => [...handle.log.messages.values()],
    chunks: (messageId: string) => [...(handle.log.chunks.get(messageId) ?? [])].sort((a, b) => a.ordinal - b.ordinal),
    lifecycle: () => handle.log.lifecycle,
    state: (key: string): unknown => JSON.parse(handle.log.actors.get(key)?.state ?? "null"),
    /** Closes it in order, and opens it again. */
    restart: async () => {
      await close()
      await boot(options)
    },
    /** As kill -9 does: from now on the old system cannot write a byte. Its models go with it. Comes back as `program`. */
    crash: async <B extends Actor.AnyActor = A>(program?: ActorSystemOptions<B>) => {
      handle = await Effect.runPromise(handle.reopen)
      await close()
      await (program === undefined ? boot(options) : boot(program))
    },
    close,
  }
}

/** The decoders that have started, by address; give `onStarted` of each kind to its actor. */
export const watchDecoders = () => {
  const handles = new Map<string, DecoderHandle>()
  return {
    of: (address: string): DecoderHandle => {
      const handle = handles.get(address)
      if (handle === undefined) throw new Error(`${address} has not started; there are ${[...handles.keys()]}`)
      return handle
    },
    onStarted:
      (type: string, stepDelayMs = 0) =>
      (id: string, handle: DecoderHandle) => {
        handles.set(`${type}/${id}`, handle)
        return handle.setStepDelayMs(stepDelayMs)
      },
  }
}

/** Reads a stream to its end, and hands each chunk on as it comes. */
export const readAll = <A, E>(chunks: Stream.Stream<A, E>, onChunk: (chunk: A, soFar: ReadonlyArray<A>) => void) => {
  const soFar: Array<A> = []
  return Effect.runPromise(
    Effect.as(
      Stream.runForEach(chunks, (chunk) =>
        Effect.sync(() => {
          soFar.push(chunk)
          onChunk(chunk, soFar)
        }),
      ),
      soFar,
    ),
  )
}
