/** A state outlives the program that wrote it: what an older version stored is brought forward, or says why not. */
import { describe, expect, it } from "@effect/vitest"
import { Actor, fromMachine } from "@pontoon/runtime"
import { Effect, Schema, type Scope } from "effect"
import { Rpc } from "effect/rpc"
import { TestClock } from "effect/testing"
import fc from "fast-check"
import { assign, setup } from "xstate"
import { lifecycleOf, makeWorld, turns, type World } from "./support/World.ts"

const Set = Rpc.make("Set", { payload: Schema.Unknown, success: Schema.Void })
const Read = Rpc.make("Read", { success: Schema.String })

const makeKeeper = (
  version: number,
  state: Schema.Codec<unknown, unknown>,
  migrations?: Actor.StateMigrations,
  initialState: unknown = null,
) =>
  Actor.make("keeper", {
    protocol: [Set, Read],
    state,
    initialState,
    version,
    ...(migrations === undefined ? {} : { migrations }),
    handlers: {
      Set: (next, actor) => Effect.sync(() => actor.setState(next)),
      Read: (_, actor) => Effect.succeed(JSON.stringify(actor.state)),
    },
  })

const First = makeKeeper(1, Schema.Unknown)
const ref = First.ref("a")
const set = (world: World, state: unknown) => world.system.ask(ref, "Set", state)
const read = (world: World) => Effect.map(world.system.ask(ref, "Read", undefined), (text) => JSON.parse(text))
const stored = (world: World) => {
  const found = world.log.actors.get("keeper/a")
  return found && [found.version, found.state]
}

const Money = Schema.Struct({ cents: Schema.Int, currency: Schema.String, at: Schema.DateFromString })
const MIGRATIONS: Actor.StateMigrations = {
  1: (old) => ({ cents: old }),
  2: Actor.migration(Schema.Struct({ cents: Schema.Int }), ({ cents }) => ({
    cents,
    currency: "EUR",
    at: "2026-01-01T00:00:00.000Z",
  })),
}

describe("1 migrations", () => {
  it("1.1 from a version that is not below the actor's own are refused where they are written", () => {
    for (const from of [0, 3, 1.5, -1]) {
      expect(() => makeKeeper(3, Schema.Unknown, { [from]: (old) => old })).toThrow(
        `The actor keeper is not defined well: it has a migration from version ${from}, and there are only those from versions below its own, which is 3.`,
      )
    }
  })
  it.effect("1.2 bring a state forward from any version, check it, and it is written with the next commit", () =>
    Effect.gen(function* () {
      for (const [version, old] of [
        [1, 700],
        [2, { cents: 700 }],
      ] as const) {
        const world = yield* makeWorld({ actors: [makeKeeper(version, Schema.Unknown)] })
        yield* set(world, old)
        const Third = makeKeeper(3, Money, MIGRATIONS)
        yield* world.crashInto({ actors: [Third] })
        expect(stored(world)).toEqual([version, JSON.stringify(old)])
        const at = "2026-01-01T00:00:00.000Z"
        expect(yield* read(world)).toEqual({ cents: 700, currency: "EUR", at })
        expect(stored(world)).toEqual([3, JSON.stringify({ cents: 700, currency: "EUR", at })])
        yield* world.crashInto({ actors: [makeKeeper(3, Money)] })
        expect(yield* read(world)).toMatchObject({ cents: 700 })
      }
    }),
  )
  it.effect("1.3 come before what the handler sets, and a handler that fails loses neither", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [First] })
      yield* set(world, 1)
      const Second = makeKeeper(2, Schema.Struct({ cents: Schema.Int }), { 1: (old) => ({ cents: old }) })
      yield* world.crashInto({ actors: [Second] })
      yield* set(world, { cents: 2 })
      expect(stored(world)).toEqual([2, '{"cents":2}'])
    }),
  )
  const cases: ReadonlyArray<readonly [string, Actor.StateMigrations, string]> = [
    ["missing", { 2: (old) => old }, "has version 1, and there is no migration from version 1 to 2."],
    ["missing on the way", { 1: (old) => old }, "has version 1, and there is no migration from version 2 to 3."],
    [
      "that throws",
      {
        1: () => {
          throw new Error("no\n  money")
        },
        2: (old) => old,
      },
      "has version 1, and its migration from version 1 to 2 failed: no money.",
    ],
    [
      "that gives nothing",
      { 1: () => undefined, 2: (old) => old },
      "has version 1, and its migration from version 1 to 2 failed: it gave nothing that is JSON.",
    ],
    [
      "of another schema",
      { 1: Actor.migration(Schema.String, (old) => old), 2: (old) => old },
      "has version 1, and its migration from version 1 to 2 failed: Expected string",
    ],
    [
      "whose result does not fit",
      { 1: (old) => old, 2: (old) => old },
      ", brought from version 1 to 3, does not fit its schema: ",
    ],
  ]
  for (const [what, migrations, says] of cases) {
    it.effect(`1.4 ${what} fail the actor with that reason, at once and for good, and leave its state alone`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld({ actors: [First] })
        yield* set(world, 7)
        yield* world.crashInto({ actors: [makeKeeper(3, Money, migrations)] })
        const error = yield* Effect.flip(read(world))
        expect(error).toMatchObject({ _tag: "TerminalDeadLetter", lastTag: "TerminalActorFailed" })
        expect(error.message).toContain(`the state of keeper/a${says.startsWith(",") ? "" : " "}${says}`)
        yield* turns
        expect(lifecycleOf(world, "keeper/a").slice(1)).toEqual(["ready GAVE_UP failed"])
        expect(world.log.lifecycle.at(-1)?.reason).toContain(says.slice(0, 60))
        expect(stored(world)).toEqual([1, "7"])
        yield* world.crashInto({ actors: [makeKeeper(3, Money, MIGRATIONS)] })
        expect(yield* read(world)).toMatchObject({ cents: 7 })
      }),
    )
  }
  it.effect("1.5 without any, an older state is read as it is, and a newer one fails the actor as ever", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [First] })
      yield* set(world, 7)
      yield* world.crashInto({ actors: [makeKeeper(2, Schema.Int)] })
      expect(yield* read(world)).toBe(7)
      yield* set(world, 8)
      yield* world.crashInto({ actors: [makeKeeper(1, Schema.Int)] })
      expect((yield* Effect.flip(read(world))).message).toContain("has version 2, and this program reads up to 1")
    }),
  )
  it.effect("1.6 of a machine are given its stored state", () =>
    Effect.gen(function* () {
      const machine = setup({ types: { context: {} as { cents: number; currency?: string } } }).createMachine({
        context: { cents: 0 },
        initial: "open",
        states: { open: { on: { ADD: { actions: assign({ cents: ({ context }) => context.cents + 1 }) } } } },
      })
      const events = { ADD: {} }
      const Old = fromMachine("order", machine, { events, context: Schema.Struct({ cents: Schema.Int }) })
      const New = fromMachine("order", machine, {
        events,
        context: Schema.Struct({ cents: Schema.Int, currency: Schema.String }),
        version: 2,
        migrations: {
          1: (old: unknown) => {
            const state = structuredClone(old) as { root: { context: Record<string, unknown> } }
            state.root.context.currency = "EUR"
            return state
          },
        },
      } as never)
      const world = yield* makeWorld({ actors: [Old] })
      yield* world.system.ask(Old.ref("a"), "ADD", {})
      yield* world.crashInto({ actors: [New] })
      expect(yield* world.system.ask(New.ref("a") as never, "Snapshot" as never, undefined as never)).toMatchObject({
        context: { cents: 1, currency: "EUR" },
      })
    }),
  )
})

describe("2 whatever the versions", () => {
  /** Version n is a list of n numbers; each migration adds the number of its version. */
  const listOf = (version: number) =>
    Schema.Array(Schema.Int).check(Schema.makeFilter((list: ReadonlyArray<number>) => list.length === version))
  const all: Actor.StateMigrations = Object.fromEntries(
    Array.from({ length: 9 }, (_, index) => [index + 1, (old: unknown) => [...(old as Array<number>), index + 1]]),
  )
  const below = (version: number): Actor.StateMigrations =>
    Object.fromEntries(Object.entries(all).filter(([from]) => Number(from) < version))

  const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>) =>
    Effect.runPromise(Effect.provide(Effect.scoped(effect), TestClock.layer()))
  it("2.1 programs of rising versions, in any jumps, come to what one that took every step comes to", () =>
    fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.integer({ min: 1, max: 10 }), { minLength: 1, maxLength: 5 }), (drawn) =>
        run(
          Effect.gen(function* () {
            const versions = [1, ...drawn.filter((version) => version > 1).toSorted((a, b) => a - b)]
            const world = yield* makeWorld({ actors: [makeKeeper(1, listOf(1))] })
            yield* set(world, [0])
            for (const version of versions) {
              yield* world.crashInto({ actors: [makeKeeper(version, listOf(version), below(version))] })
              const expected = Array.from({ length: version }, (_, index) => index)
              expect(yield* read(world)).toEqual(expected)
              expect(stored(world)).toEqual([version, JSON.stringify(expected)])
            }
          }),
        ),
      ),
      { numRuns: 30 },
    ))
  it("2.2 a program that lacks any one of the migrations on the way brings nothing forward, and breaks nothing", () =>
    fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), (from, missing) =>
        run(
          Effect.gen(function* () {
            const state = Array.from({ length: from }, (_, index) => index)
            const world = yield* makeWorld({ actors: [makeKeeper(from, listOf(from))] })
            yield* set(world, state)
            const { [missing]: _, ...rest } = all
            yield* world.crashInto({ actors: [makeKeeper(10, listOf(10), rest)] })
            const found = yield* Effect.result(read(world))
            expect(found._tag).toBe(missing >= from ? "Failure" : "Success")
            if (missing >= from) expect(stored(world)).toEqual([from, JSON.stringify(state)])
          }),
        ),
      ),
      { numRuns: 30 },
    ))
})
