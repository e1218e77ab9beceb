/** Supervisors of several actors: the decision alone, against a reference; then systems that carry it out. */
import { describe, expect, it } from "@effect/vitest"
import { type ActorSelf, makePool, makeSupervisor, type SupervisorOptions } from "@pontoon/runtime"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { type Action, decideRestart, type GroupStates } from "../src/supervision/decideRestart.ts"
import { leavesOf, SupervisionTree } from "../src/supervision/SupervisionTree.ts"
import { makeWorker } from "./support/actors.ts"
import { lifecycleOf, makeWorld, turns, type World } from "./support/World.ts"

const Leaf = makeWorker("leaf", (n) => Effect.succeed(n))
const types = Array.from({ length: 40 }, (_, n) => makeWorker(`type-${n}`, (each) => Effect.succeed(each)))
const names = ["leaf", ...types.map(({ name }) => name)]

// A tree, as fast-check makes it.

interface GroupSketch {
  readonly strategy: "one-for-one" | "all-for-one" | "rest-for-one"
  readonly restartsMax: number
  readonly onExceeded: "escalate" | "fail" | "stop"
  readonly children: ReadonlyArray<"actor" | "type" | GroupSketch>
}

const sketch = (depth: number): fc.Arbitrary<GroupSketch> =>
  fc.record({
    strategy: fc.constantFrom("one-for-one", "all-for-one", "rest-for-one"),
    restartsMax: fc.nat(3),
    onExceeded: fc.constantFrom("escalate", "escalate", "fail", "stop"),
    children: fc.array(
      depth === 0
        ? fc.constantFrom("actor" as const, "type" as const)
        : fc.oneof(fc.constantFrom("actor" as const, "type" as const), sketch(depth - 1)),
      { minLength: 1, maxLength: 4 },
    ),
  })

const WITHIN_MS = 1_000
const ROOT_WITHIN_MS = 60_000

// The reference: plain objects that are changed, and arrays of times.

interface RefNode {
  readonly sketch: GroupSketch
  readonly name: string
  readonly parent: RefNode | undefined
  readonly children: Array<string | RefNode>
  times: Array<number>
  dead: boolean
}

const leavesUnder = (node: string | RefNode): Array<string> =>
  typeof node === "string" ? [node] : node.children.flatMap(leavesUnder)

interface RefOutcome {
  readonly restart?: ReadonlyArray<string>
  readonly end?: ReadonlyArray<string>
  readonly close?: true
}

const reference = (from: RefNode, child: string, alone: string, escalates: boolean, atMs: number): RefOutcome => {
  let node: RefNode | undefined = from
  let failing: string | RefNode = child
  let victims = [alone]
  if (escalates) {
    node.times = []
    node.dead = false
    victims = leavesUnder(node)
    failing = node
    node = node.parent
  }
  while (node !== undefined) {
    const withinMs = node.parent === undefined ? ROOT_WITHIN_MS : WITHIN_MS
    node.times = node.times.filter((time) => atMs - time < withinMs)
    if (!node.dead && node.times.length < node.sketch.restartsMax) {
      node.times.push(atMs)
      const { strategy } = node.sketch
      if (strategy === "all-for-one") return { restart: leavesUnder(node) }
      const behind = strategy === "one-for-one" ? [] : node.children.slice(node.children.indexOf(failing) + 1)
      return { restart: [...victims, ...behind.flatMap(leavesUnder)] }
    }
    if (node.sketch.onExceeded !== "escalate") {
      node.dead = true
      return { end: leavesUnder(node).reverse() }
    }
    node.times = []
    node.dead = false
    victims = leavesUnder(node)
    failing = node
    node = node.parent
  }
  return { close: true }
}

/** A tree in both forms; every leaf by the name under which both know it. */
const plant = (sketches: ReadonlyArray<GroupSketch>, escalationsMax: number) => {
  let count = 0
  let typesUsed = 0
  const root: RefNode = {
    sketch: { strategy: "one-for-one", restartsMax: escalationsMax, onExceeded: "escalate", children: [] },
    name: "root",
    parent: undefined,
    children: [],
    times: [],
    dead: false,
  }
  const grow = (each: GroupSketch, parent: RefNode): ReturnType<typeof makeSupervisor> => {
    const node: RefNode = { sketch: each, name: `g${count++}`, parent, children: [], times: [], dead: false }
    parent.children.push(node)
    const children: SupervisorOptions["children"] = each.children.map((child) => {
      const type = types[typesUsed]
      if (child === "type" && type !== undefined) {
        typesUsed++
        node.children.push(`${type.name}/*`)
        return type
      }
      if (typeof child === "object") return grow(child, node)
      const ref = Leaf.ref(`${count++}`)
      node.children.push(`leaf/${ref.id}`)
      return ref
    })
    const { onExceeded, restartsMax, strategy } = each
    return makeSupervisor(node.name, { children, onExceeded, restartsMax, strategy, withinMs: WITHIN_MS })
  }
  const groups = sketches.map((each) => grow(each, root))
  const nodes: Array<RefNode> = []
  const walk = (node: RefNode) => {
    nodes.push(node)
    for (const child of node.children) if (typeof child !== "string") walk(child)
  }
  walk(root)
  return { tree: new SupervisionTree(names, groups, escalationsMax), nodes: nodes.slice(1) }
}

const nameOf = (action: Extract<Action, { readonly leaf: unknown }>): string =>
  action.leaf._tag === "Actor" ? action.leaf.key : `${action.leaf.type}/*`

const only = (actions: ReadonlyArray<Action>, tag: "Stop" | "Start" | "End") =>
  actions.flatMap((action) => (action._tag === tag ? [nameOf(action)] : []))

const crash = fc.record({
  group: fc.nat(),
  child: fc.nat(),
  escalates: fc.boolean(),
  // Within the window of a group, past it, and past that of the root.
  waitMs: fc.constantFrom(0, 0, 0, 100, 400, 1_000, 60_000),
})

/** Where the actor behind a leaf stands, and a name for it: a type's leaf has many. */
const placed = (tree: SupervisionTree, leaf: string) => {
  const key = leaf.replace("*", "some")
  const [type = "", id = ""] = key.split("/")
  return { key, place: tree.placeOf({ type, id }, key) }
}

describe("1 what a crash leads to", () => {
  it("1.1 is what the reference says, for random trees and crashes, in the order of declaration", () => {
    fc.assert(
      fc.property(
        fc.array(sketch(2), { minLength: 1, maxLength: 3 }),
        fc.nat(3),
        fc.array(crash, { maxLength: 40 }),
        (sketches, escalationsMax, crashes) => {
          const { nodes, tree } = plant(sketches, escalationsMax)
          let states: GroupStates = new Map()
          let atMs = 0
          for (const { child, escalates, group, waitMs } of crashes) {
            atMs += waitMs
            const node = nodes[group % nodes.length]
            const leaves = node?.children.filter((each) => typeof each === "string") ?? []
            const leaf = leaves[child % Math.max(1, leaves.length)]
            if (node === undefined || leaf === undefined) continue
            const { key, place } = placed(tree, leaf)
            const decision = decideRestart(tree, states, {
              type: escalates ? "escalated" : "crashed",
              key,
              place,
              atMs,
            })
            states = decision.states
            const wanted = reference(node, leaf, key, escalates, atMs)
            const { actions } = decision
            expect({
              restart: only(actions, "Start"),
              end: only(actions, "End"),
              close: actions.some(({ _tag }) => _tag === "Close"),
            }).toEqual({ restart: wanted.restart ?? [], end: wanted.end ?? [], close: wanted.close === true })
            // Stopped the other way round, and all of them before the wait.
            expect(only(actions, "Stop")).toEqual(only(actions, "Start").toReversed())
            const tags = actions.map(({ _tag }) => _tag)
            expect(tags).toEqual(
              tags.toSorted((a, b) => "Stop,Wait,Start,End,Close".indexOf(a) - "Stop,Wait,Start,End,Close".indexOf(b)),
            )
            if (wanted.close === true) break
          }
        },
      ),
      { numRuns: 500 },
    )
  })
  it("1.2 is never a restart for ever, however deep the tree", () => {
    fc.assert(
      fc.property(sketch(2), fc.nat(3), fc.nat(), (each, escalationsMax, index) => {
        const { nodes, tree } = plant([each], escalationsMax)
        const leaves = nodes.flatMap(({ children }) => children.filter((child) => typeof child === "string"))
        const { key, place } = placed(tree, leaves[index % leaves.length] ?? "")
        // At one moment, each group takes its crashes once for each of its parent's.
        let bound = escalationsMax + 1
        for (const { sketch: group } of nodes) bound *= group.restartsMax + 1
        let states: GroupStates = new Map()
        for (let count = 0; count <= bound; count++) {
          const decision = decideRestart(tree, states, { type: "crashed", key, place, atMs: 0 })
          states = decision.states
          if (only(decision.actions, "Start").length === 0) return
        }
        expect.unreachable()
      }),
      { numRuns: 300 },
    )
  })
})

// Systems.

/** Actors of one type with a resource each; what is started and let go is noted in order. */
const makeParts = (options: { readonly restartsMax?: number } = {}) => {
  const noted: Array<string> = []
  const selves = new Map<string, ActorSelf>()
  const Part = makeWorker<number>("part", (n) => Effect.succeed(n), {
    start: (self) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          selves.set(self.address.id, self)
          return noted.push(`+${self.address.id}`)
        }),
        () => Effect.sync(() => noted.push(`-${self.address.id}`)),
      ),
    supervision: { restartsMax: 5, backoff: { baseMs: 10, factor: 1, maxMs: 10, jitter: 0 }, ...options },
  })
  const crash = (id: string) => selves.get(id)?.crash(`${id} broke`) ?? Effect.die(new Error(`${id} was not started`))
  const begin = (world: World, ids: Iterable<string>) =>
    Effect.forEach([...ids], (id) => world.system.ask(Part.ref(id), "Work", { n: 1 }), { discard: true })
  return { Part, noted, crash, begin }
}

const AT_ONCE = { baseMs: 100, factor: 1, maxMs: 100, jitter: 0 }

describe("2 a group", () => {
  it("2.0 that could never work is refused in one sentence", () => {
    const { Part } = makeParts()
    const open = (supervisors: ReadonlyArray<ReturnType<typeof makeSupervisor>>) =>
      new SupervisionTree(["part"], supervisors, 3)
    const group = (name: string, ...children: SupervisorOptions["children"]) => makeSupervisor(name, { children })
    expect(() => group("g")).toThrow("The supervisor g is not declared well: it has no children; give it at least one.")
    expect(() => makeSupervisor("g", { children: [Part], restartsMax: -1 })).toThrow(
      "restartsMax must be a whole number",
    )
    expect(() => makeSupervisor("g", { children: [Part], withinMs: 0 })).toThrow(
      "withinMs must be a whole number, 1 or more",
    )
    expect(() => group("g", makePool("p", { targets: [Part.ref("a")] }).ref)).toThrow("a pool cannot be its child")
    expect(() => open([group("g", Leaf)])).toThrow(
      "The system cannot be opened: the supervisor g has the child leaf, and the system no actor leaf; add it to actors.",
    )
    expect(() => open([group("g", Part.ref("a")), group("h", Part.ref("a"))])).toThrow(
      "the supervisor h has the child part/a, which g has too",
    )
    const inner = group("inner", Part)
    expect(() => open([group("g", inner), group("h", inner)])).toThrow("the supervisor inner is there twice")
  })
  it.effect("2.1 all-for-one stops all in reverse order, waits, and starts all in order", () =>
    Effect.gen(function* () {
      const { Part, begin, crash, noted } = makeParts()
      const supervisor = makeSupervisor("parts", {
        children: ["a", "b", "c"].map((id) => Part.ref(id)),
        strategy: "all-for-one",
        backoff: AT_ONCE,
      })
      const world = yield* makeWorld({ actors: [Part], supervisors: [supervisor] })
      yield* begin(world, "cabx")
      expect(noted.splice(0)).toEqual(["+c", "+a", "+b", "+x"])
      yield* crash("b")
      yield* turns
      expect(noted.splice(0)).toEqual(["-b", "-c", "-a"])
      yield* TestClock.adjust(100)
      yield* turns
      expect(noted).toEqual(["+a", "+b", "+c"])
      expect(lifecycleOf(world, "part/a").slice(1)).toEqual([
        "ready RECYCLE restarting",
        "restarting RESTART starting",
        "starting STARTED ready",
      ])
      expect(world.log.lifecycle.find(({ actorId, event }) => actorId === "a" && event === "RECYCLE")?.reason).toBe(
        "restarted with part/b",
      )
      // The one that crashed counts it, and no other.
      expect([world.log.actors.get("part/b")?.restarts, world.log.actors.get("part/a")?.restarts]).toEqual([1, 0])
      yield* begin(world, "abcx")
    }),
  )
  it.effect("2.2 rest-for-one restarts those declared behind; one-for-one nobody else", () =>
    Effect.gen(function* () {
      const { Part, begin, crash, noted } = makeParts()
      const rest = makeSupervisor("rest", {
        children: ["a", "b", "c"].map((id) => Part.ref(id)),
        strategy: "rest-for-one",
        backoff: AT_ONCE,
      })
      const world = yield* makeWorld({ actors: [Part], supervisors: [rest] })
      yield* begin(world, "abcx")
      noted.splice(0)
      yield* crash("b")
      yield* turns
      yield* TestClock.adjust(100)
      yield* turns
      expect(noted.splice(0)).toEqual(["-b", "-c", "+b", "+c"])
      yield* crash("x")
      yield* turns
      yield* TestClock.adjust(10)
      yield* turns
      expect(noted).toEqual(["-x", "+x"])
    }),
  )
  it.effect("2.3 that has had too many escalates to the group above it, which restarts all of it", () =>
    Effect.gen(function* () {
      const { Part, begin, crash, noted } = makeParts()
      const inner = makeSupervisor("inner", { children: [Part.ref("b"), Part.ref("c")], restartsMax: 1 })
      const outer = makeSupervisor("outer", {
        children: [Part.ref("a"), inner, Part.ref("d")],
        strategy: "rest-for-one",
        restartsMax: 1,
        onExceeded: "fail",
        backoff: AT_ONCE,
      })
      const world = yield* makeWorld({ actors: [Part], supervisors: [outer] })
      yield* begin(world, "abcd")
      noted.splice(0)
      const breakB = Effect.gen(function* () {
        yield* crash("b")
        yield* turns
        yield* TestClock.adjust(100)
        yield* turns
        return noted.splice(0)
      })
      expect(yield* breakB).toEqual(["-b", "+b"])
      expect(yield* breakB).toEqual(["-b", "-d", "-c", "+b", "+c", "+d"])
      // The inner one has a fresh count, the outer one none left.
      expect(yield* breakB).toEqual(["-b", "+b"])
      expect((yield* breakB).toSorted()).toEqual(["-a", "-b", "-c", "-d"])
      for (const id of ["a", "b", "c", "d"]) {
        expect(yield* world.system.lifecycle({ type: "part", id })).toBe("failed")
      }
      expect(lifecycleOf(world, "part/d").at(-1)).toBe("ready GAVE_UP failed")
      expect(world.log.lifecycle.at(-1)?.reason).toBe("outer had too many crashes, the last of part/b: b broke")
      // Wanted again, it has its budget again, and so has its group.
      expect(yield* world.system.restart({ type: "part", id: "b" }, "mended")).toBe(true)
      yield* begin(world, "b")
      noted.splice(0)
      expect(yield* breakB).toEqual(["-b", "+b"])
    }),
  )
  it.effect("2.4 of a type has all of them that no other group has by name", () =>
    Effect.gen(function* () {
      const { Part, begin, crash, noted } = makeParts()
      const named = makeSupervisor("named", { children: [Part.ref("a")] })
      const others = makeSupervisor("others", { children: [Part], strategy: "all-for-one", backoff: AT_ONCE })
      const world = yield* makeWorld({ actors: [Part], supervisors: [named, others] })
      yield* begin(world, "abc")
      noted.splice(0)
      yield* crash("c")
      yield* turns
      yield* TestClock.adjust(100)
      yield* turns
      expect(noted).toEqual(["-c", "-b", "+b", "+c"])
    }),
  )
  it.effect("2.5 at the root closes the system when it escalates too often", () =>
    Effect.gen(function* () {
      const { Part, begin, crash } = makeParts()
      const supervisor = makeSupervisor("parts", { children: [Part.ref("a")], restartsMax: 0, backoff: AT_ONCE })
      const world = yield* makeWorld({ actors: [Part], supervisors: [supervisor], escalationsMax: 1 })
      yield* begin(world, "a")
      yield* crash("a")
      yield* turns
      yield* TestClock.adjust(100)
      yield* begin(world, "a")
      yield* crash("a")
      expect(yield* Effect.flip(world.system.failure)).toMatchObject({ _tag: "TerminalEscalated" })
    }),
  )
  it.effect("2.6 whose actor crashes again while it is restarted starts over; nobody is started twice", () =>
    Effect.gen(function* () {
      const { Part, begin, crash, noted } = makeParts()
      const supervisor = makeSupervisor("parts", {
        children: ["a", "b", "c"].map((id) => Part.ref(id)),
        strategy: "all-for-one",
        backoff: AT_ONCE,
      })
      const world = yield* makeWorld({ actors: [Part], supervisors: [supervisor] })
      yield* begin(world, "abcx")
      noted.splice(0)
      yield* crash("b")
      yield* turns
      yield* TestClock.adjust(50)
      // Those that wait to be restarted have nothing that could crash: what they say is not heard any more.
      yield* crash("c")
      yield* crash("b")
      yield* TestClock.adjust(50)
      yield* turns
      expect(noted.splice(0)).toEqual(["-b", "-c", "-a", "+a", "+b", "+c"])
      yield* crash("a")
      yield* turns
      yield* TestClock.adjust(100)
      yield* turns
      expect(noted).toEqual(["-a", "-c", "-b", "+a", "+b", "+c"])
    }),
  )
  it.effect("2.7 waits no longer than two seconds for a resource that does not close", () =>
    Effect.gen(function* () {
      const noted: Array<string> = []
      const selves = new Map<string, ActorSelf>()
      const Stuck = makeWorker<number>("stuck", (n) => Effect.succeed(n), {
        start: (self) =>
          Effect.acquireRelease(
            Effect.sync(() => {
              selves.set(self.address.id, self)
              return noted.push(`+${self.address.id}`)
            }),
            () => {
              noted.push(`-${self.address.id}`)
              return self.address.id === "b" ? Effect.never : Effect.void
            },
          ),
      })
      const supervisor = makeSupervisor("stuck", {
        children: ["a", "b", "c"].map((id) => Stuck.ref(id)),
        strategy: "all-for-one",
        backoff: AT_ONCE,
      })
      const world = yield* makeWorld({ actors: [Stuck], supervisors: [supervisor] })
      for (const id of ["a", "b", "c"]) yield* world.system.ask(Stuck.ref(id), "Work", { n: 1 })
      noted.splice(0)
      yield* selves.get("c")?.crash("broke") ?? Effect.void
      yield* turns
      yield* TestClock.adjust(1_999)
      yield* turns
      expect(noted).toEqual(["-c", "-b"])
      yield* TestClock.adjust(1)
      yield* turns
      expect(noted).toEqual(["-c", "-b", "-a", "+a", "+b", "+c"])
    }),
  )
})

describe("3 random trees of real actors", () => {
  /** Every actor below, in the order of declaration, as the system knows it. */
  const run = (each: GroupSketch, crashes: ReadonlyArray<number>) =>
    Effect.gen(function* () {
      const { Part, begin, crash: breakIt, noted } = makeParts({ restartsMax: 100 })
      let count = 0
      const grow = ({ children, ...options }: GroupSketch): ReturnType<typeof makeSupervisor> =>
        makeSupervisor(`g${count++}`, {
          ...options,
          withinMs: 3_600_000,
          backoff: AT_ONCE,
          children: children.map((child) => (typeof child === "object" ? grow(child) : Part.ref(`${count++}`))),
        })
      const supervisor = grow(each)
      const tree = new SupervisionTree(["part"], [supervisor], 1)
      const ids = leavesOf(tree.root).flatMap((leaf) => (leaf._tag === "Actor" ? [leaf.key.replace("part/", "")] : []))
      const world = yield* makeWorld({ actors: [Part], supervisors: [supervisor], escalationsMax: 1 })
      // Made in another order than they are declared.
      for (const id of ids.toReversed()) yield* begin(world, [id])
      noted.splice(0)
      let states: GroupStates = new Map()
      const gone = new Set<string>()
      for (const index of crashes) {
        const id = ids[index % ids.length] ?? ""
        if (gone.has(id)) continue
        const key = `part/${id}`
        const place = tree.placeOf({ type: "part", id }, key)
        const decision = decideRestart(tree, states, { type: "crashed", key, place, atMs: 0 })
        states = decision.states
        const named = (tag: "Stop" | "Start" | "End") =>
          only(decision.actions, tag)
            .map((name) => name.replace("part/", ""))
            .filter((name) => !gone.has(name))
        yield* breakIt(id)
        yield* turns
        if (decision.actions.some(({ _tag }) => _tag === "Close")) {
          expect(yield* Effect.flip(world.system.failure)).toMatchObject({ _tag: "TerminalEscalated" })
          return
        }
        yield* TestClock.adjust(100)
        yield* turns
        const stopped = named("Stop").filter((name) => name !== id)
        const ended = named("End")
        const news = noted.splice(0)
        if (ended.length > 0) {
          expect(news.toSorted()).toEqual(ended.map((name) => `-${name}`).toSorted())
          for (const name of ended) gone.add(name)
        } else {
          expect(news).toEqual([
            `-${id}`,
            ...stopped.map((name) => `-${name}`),
            ...named("Start").map((name) => `+${name}`),
          ])
        }
        for (const name of ids) {
          const state = yield* world.system.lifecycle({ type: "part", id: name })
          expect(gone.has(name) ? /^(failed|stopped)$/ : /^ready$/).toSatisfy((wanted: RegExp) =>
            wanted.test(state ?? ""),
          )
        }
      }
    })
  const cases = fc.sample(fc.tuple(sketch(2), fc.array(fc.nat(20), { minLength: 3, maxLength: 8 })), {
    numRuns: 40,
    seed: 20_261_125,
  })
  it.effect.each(cases)("3.1 do what was decided, in its order", ([each, crashes]) => run(each, crashes))
})
