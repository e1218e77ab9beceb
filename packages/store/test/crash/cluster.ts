/**
 * A small cluster that is killed, and what its callers do.
 *
 * argv: FILE, `load` or `drain`, the crash point to die at (or `none`), at which occurrence of it, a seed, and a name that
 * no other run on the file has. `load` sends until it is killed. What was accepted, and what was answered, goes to standard
 * output, a line each: `accepted ID`, `replied ID REPLY`, `answered KEY REPLY`, `read ID FROM CHUNKS`. `drain` sends nothing, and ends with 0 when
 * nothing is unfinished.
 */
import { ActorSystem, CrashPoints } from "@pontoon/runtime"
import { type SeededRandom, seededRandom } from "@pontoon/runtime/testing"
import { Effect, Layer, Stream } from "effect"
import { SqliteStore } from "../../src/index.ts"
import { say } from "../support/say.ts"
import { Counter, Front, Model, models, Room, Saga, Session, Talker, Till, Workflow } from "./clusterActors.ts"

const [, , file = "", mode = "drain", point = "none", occurrence = "1", seed = "1", run = "0"] = process.argv
const CALLERS = 12

let left = Number(occurrence)
const crash = (passed: string): void => {
  if (passed === point && --left === 0) process.kill(process.pid, "SIGKILL")
}

/** Synchronous, so that the line is out before anything else can happen to this process. */
const report = (...words: ReadonlyArray<string>) => Effect.sync(() => say(words.join(" ")))

type System = ActorSystem["Service"]

const told = Effect.fnUntraced(function* (system: System, tell: Effect.Effect<string, unknown>) {
  const id = yield* tell
  yield* report("accepted", id)
  const { reply } = yield* system.outcome(id)
  if (reply !== null) yield* report("replied", id, reply)
})

/** A reader that leaves after some chunks, and comes back with the number of the last. */
const readTwice = Effect.fnUntraced(function* (
  system: System,
  id: string,
  ref: ReturnType<typeof Talker.ref>,
  first: number,
) {
  const read = (from: number) => Stream.map(system.read(ref, "Talk", id, { from }), ({ chunk }) => chunk)
  const before = yield* Stream.runCollect(Stream.take(read(0), first))
  yield* report("read", id, "0", JSON.stringify(before))
  const after = yield* Stream.runCollect(read(before.length))
  yield* report("read", id, `${before.length}`, JSON.stringify(after))
})

const simple = Effect.fnUntraced(function* (
  system: System,
  random: SeededRandom["below"],
  key: { readonly idempotencyKey: string },
) {
  const choice = random(6)
  const counter = Counter.ref(`${random(4)}`)
  if (choice < 2) {
    const sum = yield* system.ask(counter, "Add", { by: 1 + random(9) }, key)
    yield* report("answered", key.idempotencyKey, JSON.stringify(sum))
  } else if (choice === 2) yield* told(system, system.tell(counter, "Add", { by: 1 }, { ...key, delayMs: random(80) }))
  else if (choice === 3) {
    const ref = Talker.ref(`${random(3)}`)
    const id = yield* system.tell(ref, "Talk", { words: random(60) }, key)
    yield* report("accepted", id)
    yield* readTwice(system, id, ref, 1 + random(20))
  } else if (choice === 4) yield* told(system, system.tell(models.ref, "Infer", { n: random(50) }, key))
  else yield* told(system, system.tell(Workflow.ref(`${random(5)}`), "Run", { n: random(50) }, key))
})

/** Sagas, forwards, tills and watches. */
const special = Effect.fnUntraced(function* (
  system: System,
  random: SeededRandom["below"],
  key: { readonly idempotencyKey: string },
) {
  const choice = random(4)
  const till = Till.ref(`${random(2)}`)
  if (choice === 0) yield* told(system, system.tell(Saga.ref(`${random(3)}`), "Book", { n: random(20) }, key))
  else if (choice === 1) yield* told(system, system.tell(Front.ref(`${random(2)}`), "Add", { by: random(20) }, key))
  else if (choice === 2) {
    yield* system.tell(till, "Open", { open: false }, { idempotencyKey: `${key.idempotencyKey}-shut` })
    const sold = yield* system.tell(till, "Sell", { by: 1 + random(9) }, key)
    yield* report("accepted", sold)
    yield* system.tell(till, "Open", { open: true }, { idempotencyKey: `${key.idempotencyKey}-open` })
  } else {
    const session = key.idempotencyKey
    yield* system.ask(Session.ref(session), "Begin", undefined, key)
    yield* system.ask(Room.ref(`${random(2)}`), "Join", { session }, key)
    yield* system.stop({ type: "session", id: session }, "signed out")
  }
})

const caller = Effect.fnUntraced(function* (name: number) {
  const system = yield* ActorSystem
  const random = seededRandom(Number(seed) * 1_000 + name).below
  for (let n = 0; ; n++) {
    const key = { idempotencyKey: `${run}-${name}-${n}` }
    yield* random(3) > 0 ? simple(system, random, key) : special(system, random, key)
  }
})

const drained = Effect.gen(function* () {
  const system = yield* ActorSystem
  // Whatever a shut till has put aside.
  for (const id of ["0", "1"]) yield* system.ask(Till.ref(id), "Open", { open: true })
  while ((yield* system.unfinished) > 0) yield* Effect.sleep(5)
})

const program = Effect.gen(function* () {
  if (mode === "drain") return yield* drained
  const callers = Array.from({ length: CALLERS }, (_, name) => caller(name))
  return yield* Effect.all(callers, { concurrency: "unbounded", discard: true })
})

const layer = ActorSystem.layer({
  actors: [Counter, Talker, Model, Workflow, Saga, Front, Till, Session, Room],
  pools: [models],
}).pipe(Layer.provide(SqliteStore.layer(file)), Layer.provide(Layer.succeed(CrashPoints, crash)))
await Effect.runPromise(Effect.provide(program, layer))
