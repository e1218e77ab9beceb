import { describe, expect, it } from "@effect/vitest"
import { Actor, ActorSystem, Task } from "@pontoon/runtime"
import { MemoryStore } from "@pontoon/runtime/testing"
import { Effect, Layer, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"
import { Counter } from "./support/actors.ts"

const system = <A extends Actor.AnyActor>(actors: ReadonlyArray<A>) =>
  ActorSystem.layer({ actors }).pipe(Layer.provideMerge(MemoryStore.layer))

describe("ask", () => {
  it.effect("runs the handler and gives its reply", () =>
    Effect.gen(function* () {
      const pontoon = yield* ActorSystem
      expect(yield* pontoon.ask(Counter.ref("a"), "Add", { by: 2 })).toBe(2)
      expect(yield* pontoon.ask(Counter.ref("a"), "Add", { by: 3 })).toBe(5)
      expect(yield* pontoon.ask(Counter.ref("b"), "Read", undefined)).toBe(0)
    }).pipe(Effect.provide(system([Counter]))),
  )

  it.effect("keeps the order of one caller", () =>
    Effect.gen(function* () {
      const pontoon = yield* ActorSystem
      const sums = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, index) => index),
        (by) => pontoon.ask(Counter.ref("a"), "Add", { by }),
        { concurrency: "unbounded" },
      )
      let sum = 0
      expect(sums).toEqual(sums.map((_, index) => (sum += index)))
    }).pipe(Effect.provide(system([Counter]))),
  )
})

const Talker = Actor.make("talker", {
  protocol: [Task.stream("Say", { payload: { words: Schema.Number }, chunk: Schema.String, whole: Schema.String })],
  concurrency: 2,
  handlers: {
    Say: ({ words }, actor) =>
      Effect.gen(function* () {
        for (let index = 0; index < words; index++) yield* actor.emit(`w${index} `)
        return Array.from({ length: words }, (_, index) => `w${index} `).join("")
      }),
  },
})

const Relay = Actor.make("relay", {
  protocol: [Rpc.make("Relay", { payload: { words: Schema.Number }, success: Schema.String })],
  handlers: { Relay: ({ words }, actor) => actor.ask(Talker.ref("other"), "Say", { words }) },
})

describe("ref", () => {
  it.effect("speaks for itself once it is bound", () =>
    Effect.gen(function* () {
      const counter = (yield* ActorSystem).ref(Counter.ref("a"))
      expect(yield* counter.ask("Add", { by: 2 })).toBe(2)
      const id = yield* counter.tell("Add", { by: 3 })
      expect((yield* (yield* ActorSystem).outcome(id)).reply).toBe("5")
    }).pipe(Effect.provide(system([Counter]))),
  )
})

describe("stream", () => {
  it.effect("gives every chunk once, and the whole to those who ask", () =>
    Effect.gen(function* () {
      const pontoon = yield* ActorSystem
      const chunks = yield* Stream.runCollect(pontoon.stream(Talker.ref("a"), "Say", { words: 300 }))
      expect(chunks).toEqual(Array.from({ length: 300 }, (_, index) => `w${index} `))
      expect(yield* pontoon.ask(Relay.ref("a"), "Relay", { words: 2 })).toBe("w0 w1 ")
    }).pipe(Effect.provide(system([Talker, Relay]))),
  )
})
