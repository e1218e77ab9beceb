/** What a mailbox promises, through the whole runtime: order, bounds, what is put aside, and whom nobody holds up. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Gate, makeWorker } from "./support/actors.ts"
import { makeWorld, turns } from "./support/World.ts"

/** A worker that writes down what it runs, and stops at a gate. */
const gated = (options: Parameters<typeof makeWorker>[2] = {}) => {
  const gate = new Gate()
  const ran: Array<number> = []
  const Worker = makeWorker(
    "worker",
    (n) =>
      Effect.suspend(() => {
        ran.push(n)
        return Effect.as(gate.pass, n * 10)
      }),
    options,
  )
  return { Worker, gate, ran, ref: Worker.ref("a") }
}

describe("1 a message that waits", () => {
  it.effect("1.1 is worth one level more for each ageingMs, and no sooner; a restart changes nothing", () =>
    Effect.gen(function* () {
      for (const restarts of [false, true]) {
        const { Worker, gate, ran, ref } = gated({ mailbox: { ageingMs: 100 } })
        const world = yield* makeWorld({ actors: [Worker] })
        const tell = (n: number, priority: number) => world.system.tell(ref, "Work", { n }, { priority })
        yield* tell(0, 0)
        yield* tell(1, 0)
        yield* TestClock.adjust(99)
        yield* tell(2, 1)
        yield* TestClock.adjust(1)
        // As old in rank as 1, which was accepted first.
        yield* tell(3, 1)
        yield* tell(4, 2)
        yield* tell(5, -1)
        if (restarts) yield* world.crash
        for (let n = 0; n < 6; n++) {
          yield* turns
          yield* gate.open
        }
        expect(ran).toEqual(restarts ? [0, 0, 4, 2, 1, 3, 5] : [0, 4, 2, 1, 3, 5])
      }
    }),
  )
  it.effect("1.2 that was put off by its sender ages from when it is due", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated({ mailbox: { ageingMs: 100 } })
      const world = yield* makeWorld({ actors: [Worker] })
      yield* world.system.tell(ref, "Work", { n: 0 })
      yield* world.system.tell(ref, "Work", { n: 1 }, { delayMs: 1_000 })
      yield* TestClock.adjust(1_000)
      yield* world.system.tell(ref, "Work", { n: 2 }, { priority: 1 })
      yield* world.system.tell(ref, "Work", { n: 3 })
      for (let n = 0; n < 4; n++) {
        yield* turns
        yield* gate.open
      }
      expect(ran).toEqual([0, 2, 1, 3])
    }),
  )
})
