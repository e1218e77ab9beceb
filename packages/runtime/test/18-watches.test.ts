/** Actors that hear of each other's end, or fall with each other. */
import { describe, expect, it } from "@effect/vitest"
import { Actor, type ActorSelf, makePool, makeSupervisor, type Supervision, Terminated } from "@pontoon/runtime"
import { Effect, Fiber, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { TestClock } from "effect/testing"
import { WATCHES_MAX } from "../src/life/Watches.ts"
import { LINKED_MAX } from "../src/supervision/linkedTo.ts"
import { Gate, makeWorker, TerminalTrouble } from "./support/actors.ts"
import { everyCommit } from "./support/everyCommit.ts"
import { lifecycleOf, makeWorld, rows, turns, type World } from "./support/World.ts"

const Do = Rpc.make("Do", {
  payload: { what: Schema.Literals(["watch", "unwatch", "link", "fail"]), id: Schema.String },
  success: Schema.Array(Schema.String),
})

/** Crashes when it is told to, with no restart left: n = 13 is a mistake. */
const Mortal = makeWorker(
  "mortal",
  (n) =>
    Effect.sync(() => {
      if (n === 13) throw new Error("thirteen")
      return n
    }),
  { supervision: { restartsMax: 0 }, retry: { attemptsMax: 4 } },
)

/** Watches mortals, and remembers what it hears. */
const Mourner = Actor.make("mourner", {
  protocol: [Do, Terminated],
  state: Schema.Array(Schema.String),
  initialState: [],
  handlers: {
    Do: ({ id, what }, actor) =>
      Effect.gen(function* () {
        if (what === "watch") yield* actor.watch(Mortal.ref(id))
        if (what === "unwatch") yield* actor.unwatch(Mortal.ref(id))
        if (what === "link") yield* actor.link(Mortal.ref(id))
        if (what === "fail") {
          yield* actor.watch(Mortal.ref(id))
          return yield* new TerminalTrouble({ message: "after all, no" })
        }
        return actor.state
      }),
    Terminated: ({ address, reason, state }, actor) =>
      Effect.sync(() => actor.setState([...actor.state, `${address.type}/${address.id} ${state}: ${reason}`])),
  },
})

const act = (world: World, what: (typeof Do.payloadSchema.Type)["what"], id: string, mourner = "m") =>
  world.system.ask(Mourner.ref(mourner), "Do", { what, id })
/** What the mourner has heard; unwatching a stranger changes nothing. */
const heard = (world: World, mourner = "m") => act(world, "unwatch", "nobody", mourner)
const kill = (world: World, id: string) =>
  Effect.andThen(Effect.ignore(world.system.ask(Mortal.ref(id), "Work", { n: 13 })), turns)
const watches = (world: World) => [...world.log.watches.values()]

const FAILED = "mortal/a failed: thirteen"

describe("1 misuse", () => {
  const mistakes = (
    refOf: (mourner: { readonly ref: (id: string) => Actor.Ref<never> }) => Actor.Ref<never>,
    told = true,
  ) =>
    Effect.gen(function* () {
      const Fool: Actor.Actor<typeof Terminated | typeof Do, never> = Actor.make("fool", {
        protocol: told ? [Do, Terminated] : [Do],
        handlers: {
          Do: (_, actor) =>
            Effect.matchEffect(actor.watch(refOf(Fool as never)), {
              onSuccess: () => Effect.succeed([]),
              onFailure: ({ _tag, message }) => Effect.succeed([`${_tag}: ${message}`]),
            }),
          Terminated: () => Effect.void,
        },
      })
      const world = yield* makeWorld({ actors: [Fool, Mortal] })
      return yield* world.system.ask(Fool.ref("f"), "Do", { what: "watch", id: "" })
    })
  it.effect("1.1 a pool, a stranger, oneself: each is refused in a sentence", () =>
    Effect.gen(function* () {
      const pool = makePool("mortals", { targets: [Mortal.ref("a")] })
      const said = [
        yield* mistakes(() => pool.ref as never),
        yield* mistakes(() => Mourner.ref("x") as never),
        yield* mistakes((fool) => fool.ref("f")),
      ]
      expect(said.flat()).toEqual([
        "TerminalWatchRefused: fool/f cannot watch mortals/: it is a pool, which does not end; watch its targets.",
        "TerminalWatchRefused: fool/f cannot watch mourner/x: the system has no actor mourner.",
        "TerminalWatchRefused: fool/f cannot watch fool/f: nobody hears of its own end.",
      ])
    }),
  )
  it.effect("1.2 an actor without the task Terminated cannot be told, and one of that name must be the runtime's", () =>
    Effect.gen(function* () {
      expect(yield* mistakes(() => Mortal.ref("a") as never, false)).toEqual([
        "TerminalWatchRefused: fool/f cannot watch mortal/a: it would be told by the task Terminated, which is not in its protocol; add it.",
      ])
      const other = Rpc.make("Terminated", { payload: { who: Schema.String } })
      expect(() => Actor.make("fool", { protocol: [other], handlers: { Terminated: () => Effect.void } })).toThrow(
        "its task Terminated is not the runtime's own; import that, or name it otherwise",
      )
    }),
  )
})

describe("2 a watcher", () => {
  it.effect("2.1 is told when what it watches fails for good, once, and hears no more of it", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Mortal, Mourner] })
      for (const id of ["a", "b"]) yield* act(world, "watch", id)
      yield* act(world, "watch", "a")
      yield* kill(world, "a")
      expect(yield* heard(world)).toEqual([FAILED])
      expect(watches(world).map(({ watched }) => watched.id)).toEqual(["b"])
      // Brought back, it is another life, which nobody watches yet.
      yield* world.system.restart({ type: "mortal", id: "a" }, "again")
      yield* kill(world, "a")
      expect(yield* heard(world)).toEqual([FAILED])
      yield* world.system.stop({ type: "mortal", id: "b" }, "enough")
      yield* turns
      yield* world.system.ask(Mortal.ref("c"), "Work", { n: 1 })
      expect(yield* heard(world)).toEqual([FAILED])
    }),
  )
  it.effect("2.2 is told of one that is stopped, also when it was drained, and of all of its watchers each is", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Mortal, Mourner] })
      yield* world.system.ask(Mortal.ref("a"), "Work", { n: 1 })
      for (const mourner of ["m", "n", "o"]) yield* act(world, "watch", "a", mourner)
      yield* world.system.stop({ type: "mortal", id: "a" }, "maintenance")
      yield* turns
      for (const mourner of ["m", "n", "o"]) {
        expect(yield* heard(world, mourner)).toEqual(["mortal/a stopped: nothing runs any more"])
      }
      // From whom it is said to come.
      expect(rows(world).find(({ task }) => task === "Terminated")).toMatchObject({
        sender: "mortal/a",
        status: "done",
      })
    }),
  )
  it.effect("2.3 of one that is gone already is told at once", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Mortal, Mourner] })
      yield* kill(world, "a")
      yield* act(world, "watch", "a")
      yield* turns
      expect(yield* heard(world)).toEqual([FAILED])
      // Also where memory knows nothing of it.
      yield* world.crash
      yield* act(world, "watch", "a")
      yield* turns
      expect(yield* heard(world)).toEqual([FAILED, "mortal/a failed: it ended before it was watched"])
      expect(watches(world)).toEqual([])
    }),
  )
  it.effect("2.4 watches from the seal on: one that fails has watched nobody; one that unwatches hears nothing", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Mortal, Mourner] })
      yield* Effect.ignore(act(world, "fail", "a"))
      expect(watches(world)).toEqual([])
      yield* act(world, "watch", "a")
      yield* act(world, "unwatch", "a")
      yield* kill(world, "a")
      expect(yield* heard(world)).toEqual([])
    }),
  )
  it.effect("2.5 is told although its mailbox is full, and is not told of restarts", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Busy = Actor.make("busy", {
        protocol: [Do, Terminated],
        state: Schema.Array(Schema.String),
        initialState: [],
        mailbox: { capacity: 1 },
        handlers: {
          Do: ({ id, what }, actor) =>
            what === "watch"
              ? Effect.as(Effect.orDie(actor.watch(Mortal.ref(id))), [])
              : Effect.as(gate.pass, actor.state),
          Terminated: ({ address }, actor) => Effect.sync(() => actor.setState([...actor.state, address.id])),
        },
      })
      const world = yield* makeWorld({ actors: [Mortal, Busy] })
      const ask = (what: "watch" | "link") => world.system.ask(Busy.ref("b"), "Do", { what, id: "a" })
      yield* ask("watch")
      const asks = yield* Effect.forkChild(Effect.all([ask("link"), ask("link")], { concurrency: 2 }), {
        startImmediately: true,
      })
      yield* turns
      yield* kill(world, "a")
      expect(rows(world).at(-1)).toMatchObject({ task: "Terminated", status: "pending" })
      for (let step = 0; step < 2; step++) {
        yield* gate.open
        yield* turns
      }
      yield* Fiber.join(asks)
      expect(rows(world).at(-1)).toMatchObject({ task: "Terminated", status: "done" })
      expect(JSON.parse(world.log.actors.get("busy/b")?.state ?? "")).toEqual(["a"])
    }),
  )
  it.effect("2.6 that has ended itself watches nobody any more", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Mortal, Mourner] })
      for (const id of ["a", "b"]) yield* act(world, "watch", id)
      yield* world.system.stop({ type: "mourner", id: "m" }, "enough")
      yield* turns
      expect(watches(world)).toEqual([])
      yield* kill(world, "a")
      expect(rows(world).some(({ task }) => task === "Terminated")).toBe(false)
    }),
  )
  it.effect("2.7 has at most 1,000 watches, and an actor 1,000 watchers, however many come at once", () =>
    Effect.gen(function* () {
      const Herd = Actor.make("herd", {
        protocol: [Do, Terminated],
        handlers: {
          Do: ({ id }, actor) =>
            Effect.gen(function* () {
              const ids = Array.from({ length: WATCHES_MAX + 1 }, (_, n) => `${n}`)
              const targets = id === "all" ? ids : [id]
              const refused = yield* Effect.forEach(
                targets,
                (each) =>
                  Effect.match(actor.watch(Mortal.ref(each)), {
                    onSuccess: () => [],
                    onFailure: ({ message }) => [message],
                  }),
                { concurrency: 2 },
              )
              return refused.flat()
            }),
          Terminated: () => Effect.void,
        },
      })
      const world = yield* makeWorld({ actors: [Mortal, Herd] })
      const first = yield* world.system.ask(Herd.ref("h"), "Do", { what: "watch", id: "all" })
      expect(first).toEqual([
        `herd/h cannot watch mortal/${WATCHES_MAX}: herd/h watches 1000 actors, as many as one may; unwatch some, or share them among several.`,
      ])
      expect(watches(world).length).toBe(WATCHES_MAX)
      // What it watches already is no new watch.
      expect(yield* world.system.ask(Herd.ref("h"), "Do", { what: "watch", id: "7" })).toEqual([])
      const refused = yield* Effect.forEach(
        Array.from({ length: WATCHES_MAX }, (_, n) => `w${n}`),
        (id) => world.system.ask(Herd.ref(id), "Do", { what: "watch", id: "0" }),
        { concurrency: 50 },
      )
      const watchers = watches(world).filter(({ watched }) => watched.id === "0").length
      expect(watchers).toBeLessThanOrEqual(WATCHES_MAX)
      // Itself is one; of those that come at once for the last place, more may be refused than have to be.
      expect(refused.flat().length).toBe(WATCHES_MAX + 1 - watchers)
      expect(refused.flat()[0]).toMatch(/^herd\/w\d+ cannot watch mortal\/0: mortal\/0 has 1000 watchers, as many/)
      yield* kill(world, "0")
      expect(rows(world).filter(({ task }) => task === "Terminated").length).toBe(watchers)
    }),
  )
  it.effect("2.8 is told once what an end is in the end, and nothing of one that is escalated and restarted", () =>
    Effect.gen(function* () {
      const selves = new Map<string, ActorSelf>()
      const makePart = (name: string, supervision: Partial<Supervision>) =>
        makeWorker<string>(name, (n) => Effect.succeed(n), {
          start: (self) =>
            Effect.sync(() => {
              selves.set(name, self)
              return name
            }),
          supervision: { restartsMax: 0, ...supervision },
        })
      const parts = [
        makePart("stops", { onExceeded: "stop" }),
        makePart("fails", { onExceeded: "fail" }),
        makePart("quits", { onCrash: () => "stop" }),
        makePart("escalates", { onExceeded: "escalate" }),
        makePart("grouped", { restartsMax: 9 }),
      ]
      const group = makeSupervisor("group", {
        children: parts.slice(-1),
        restartsMax: 0,
        onExceeded: "stop",
      })
      const Watcher = Actor.make("watcher", {
        protocol: [Do, Terminated],
        state: Schema.Array(Schema.String),
        initialState: [],
        handlers: {
          Do: (_, actor) =>
            Effect.as(
              Effect.forEach(parts, (part) => Effect.orDie(actor.watch(part.ref("x")))),
              actor.state,
            ),
          Terminated: ({ address, state }, actor) =>
            Effect.sync(() => actor.setState([...actor.state, `${address.type} ${state}`])),
        },
      })
      const world = yield* makeWorld({ actors: [...parts, Watcher], supervisors: [group] })
      for (const part of parts) yield* world.system.ask(part.ref("x"), "Work", { n: 1 })
      yield* world.system.ask(Watcher.ref("w"), "Do", { what: "watch", id: "" })
      for (const { name } of parts) {
        yield* selves.get(name)?.crash("broke") ?? Effect.void
        yield* turns
      }
      expect(JSON.parse(world.log.actors.get("watcher/w")?.state ?? "")).toEqual([
        "stops stopped",
        "fails failed",
        "quits stopped",
        "grouped stopped",
      ])
      expect(watches(world).map(({ watched }) => watched.type)).toEqual(["escalates"])
      expect(yield* world.system.lifecycle({ type: "escalates", id: "x" })).toBe("ready")
    }),
  )
})

describe("3 over deaths of the process", () => {
  it.effect("3.1 the news is there once, whenever the process dies", () =>
    Effect.gen(function* () {
      const deaths = yield* everyCommit({
        actors: [Mortal, Mourner],
        drive: (world) =>
          Effect.gen(function* () {
            yield* world.system.ask(Mourner.ref("m"), "Do", { what: "watch", id: "a" }, { idempotencyKey: "w" })
            yield* Effect.ignore(world.system.ask(Mortal.ref("a"), "Work", { n: 13 }, { idempotencyKey: "k" }))
            yield* turns
          }),
        check: (world) =>
          Effect.gen(function* () {
            yield* turns
            const told = rows(world).filter(({ task }) => task === "Terminated")
            const ended = world.log.actors.get("mortal/a")?.lifecycle
            // A process that died before the actor had failed has the message run again, which fails it.
            expect([ended, told.length, watches(world).length]).toEqual(["failed", 1, 0])
            expect((yield* Effect.orDie(heard(world))).length).toBe(1)
          }),
      })
      expect(deaths).toBeGreaterThan(5)
    }),
  )
  it.effect("3.2 an end that was written and not told is told by the next process", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Mortal, Mourner] })
      yield* act(world, "watch", "a")
      // As a seal beside the end would leave it.
      world.log.actors.set("mortal/a", {
        address: { type: "mortal", id: "a" },
        lifecycle: "failed",
        state: null,
        version: 1,
        restarts: 0,
        updatedAtMs: 0,
      })
      yield* world.crash
      yield* turns
      expect(yield* heard(world)).toEqual(["mortal/a failed: it had ended before the system was opened"])
      yield* world.crash
      yield* turns
      expect((yield* heard(world)).length).toBe(1)
    }),
  )
})

describe("4 linked actors", () => {
  /** Actors with a resource each, of which the first links those that it is told of. */
  const makeParts = () => {
    const noted: Array<string> = []
    const selves = new Map<string, ActorSelf>()
    const Link = Rpc.make("Link", { payload: Schema.String, success: Schema.String })
    const Part: Actor.Actor<typeof Link, never> = Actor.make("part", {
      protocol: [Link],
      start: (self) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            selves.set(self.address.id, self)
            noted.push(`+${self.address.id}`)
            return undefined
          }),
          () => Effect.sync(() => noted.push(`-${self.address.id}`)),
        ),
      supervision: { restartsMax: 1, backoff: { baseMs: 10, factor: 1, maxMs: 10, jitter: 0 } },
      handlers: {
        Link: (id, actor) =>
          id === "" ? Effect.succeed("") : Effect.as(Effect.orDie(actor.link(Part.ref(id))), `linked to ${id}`),
      },
    })
    const crash = (id: string) =>
      Effect.gen(function* () {
        yield* selves.get(id)?.crash("broke") ?? Effect.void
        yield* turns
        yield* TestClock.adjust(10)
        yield* turns
        return noted.splice(0).toSorted()
      })
    const link = (world: World, from: string, to: string) => world.system.ask(Part.ref(from), "Link", to)
    return { Part, noted, crash, link }
  }

  it.effect("4.1 are restarted with each other, in both directions and through others, and count it once", () =>
    Effect.gen(function* () {
      const { Part, crash, link, noted } = makeParts()
      const world = yield* makeWorld({ actors: [Part] })
      for (const id of ["a", "b", "c", "d"]) yield* link(world, id, "")
      yield* link(world, "a", "b")
      yield* link(world, "b", "c")
      noted.splice(0)
      expect(yield* crash("c")).toEqual(["+a", "+b", "+c", "-a", "-b", "-c"])
      expect(yield* crash("a")).toEqual(["+a", "+b", "+c", "-a", "-b", "-c"])
      expect(["a", "b", "c"].map((id) => world.log.actors.get(`part/${id}`)?.restarts)).toEqual([1, 0, 1])
      expect(world.log.lifecycle.find(({ actorId, event }) => actorId === "a" && event === "RECYCLE")?.reason).toBe(
        "restarted with part/c, which it is linked to",
      )
    }),
  )
  it.effect("4.2 end with each other, as the other did; a link survives the process", () =>
    Effect.gen(function* () {
      const { Part, crash, link, noted } = makeParts()
      const world = yield* makeWorld({ actors: [Part] })
      for (const id of ["a", "b", "c", "d"]) yield* link(world, id, "")
      yield* link(world, "a", "b")
      yield* link(world, "c", "d")
      yield* world.crash
      noted.splice(0)
      for (const id of ["a", "c"]) yield* link(world, id, "")
      yield* crash("a")
      // b is not in memory, and ends all the same.
      yield* crash("a")
      const state = (id: string) => world.system.lifecycle({ type: "part", id })
      expect([yield* state("a"), yield* state("b")]).toEqual(["failed", "failed"])
      expect(world.log.lifecycle.findLast(({ actorId }) => actorId === "b")).toMatchObject({
        to: "failed",
        reason: "part/a, which it is linked to, is failed: broke",
      })
      yield* world.system.stop({ type: "part", id: "c" }, "the end")
      yield* turns
      expect([yield* state("c"), yield* state("d")]).toEqual(["stopped", "stopped"])
      expect(watches(world)).toEqual([])
    }),
  )
  it.effect("4.3 with one that is gone already, an actor ends at once", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Mortal, Mourner] })
      yield* kill(world, "a")
      yield* act(world, "link", "a")
      yield* turns
      expect(yield* world.system.lifecycle({ type: "mourner", id: "m" })).toBe("failed")
      expect(lifecycleOf(world, "mourner/m").at(-1)).toBe("ready GAVE_UP failed")
      expect(watches(world)).toEqual([])
      // Brought back, both live on their own.
      for (const [type, id] of [
        ["mourner", "m"],
        ["mortal", "a"],
      ] as const) {
        expect(yield* world.system.restart({ type, id }, "again")).toBe(true)
      }
      yield* kill(world, "a")
      expect(yield* heard(world)).toEqual([])
    }),
  )
  it.effect("4.4 are unlinked on both sides, and a process that dies between two ends has the second follow", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Mortal, Mourner] })
      yield* act(world, "link", "a")
      yield* act(world, "unwatch", "a")
      expect(watches(world)).toEqual([])
      yield* act(world, "link", "a")
      world.log.actors.set("mortal/a", {
        address: { type: "mortal", id: "a" },
        lifecycle: "stopped",
        state: null,
        version: 1,
        restarts: 0,
        updatedAtMs: 0,
      })
      yield* world.crash
      yield* turns
      expect(yield* world.system.lifecycle({ type: "mourner", id: "m" })).toBe("failed")
      expect(watches(world)).toEqual([])
      yield* world.crash
      yield* turns
      expect(yield* world.system.lifecycle({ type: "mourner", id: "m" })).toBe(undefined)
      expect(yield* heard(world)).toEqual([])
    }),
  )
  it.effect("4.5 are looked for no further than through 1,000 of them", () =>
    Effect.gen(function* () {
      let reads = 0
      const nth = (n: number) => ({ type: "lively", id: `${n}` })
      const Lively = makeWorker("lively", () => Effect.die(new Error("once")), { supervision: { restartsMax: 1 } })
      const world = yield* makeWorld({
        actors: [Lively],
        // A chain without an end.
        wrap: (store) => ({
          ...store,
          watches: (filter) =>
            Effect.sync(() => {
              if (!("watched" in filter)) return []
              reads++
              const n = Number(filter.watched.id)
              return [{ watched: nth(n), watcher: nth(n + 1), linked: true, atMs: 0 }]
            }),
        }),
      })
      yield* world.system.tell(Lively.ref("0"), "Work", { n: 1 })
      for (let step = 0; step < 20; step++) yield* turns
      expect(reads).toBe(LINKED_MAX - 1)
    }),
  )
  it.effect("4.6 end with each other whenever the process dies", () =>
    Effect.gen(function* () {
      const deaths = yield* everyCommit({
        actors: [Mortal, Mourner],
        drive: (world) =>
          Effect.gen(function* () {
            yield* world.system.ask(Mourner.ref("m"), "Do", { what: "link", id: "a" }, { idempotencyKey: "l" })
            yield* Effect.ignore(world.system.ask(Mortal.ref("a"), "Work", { n: 13 }, { idempotencyKey: "k" }))
            yield* turns
          }),
        check: (world) =>
          Effect.gen(function* () {
            yield* turns
            const state = (key: string) => world.log.actors.get(key)?.lifecycle
            expect([state("mortal/a"), state("mourner/m"), watches(world)]).toEqual(["failed", "failed", []])
          }),
      })
      expect(deaths).toBeGreaterThan(5)
    }),
  )
})
