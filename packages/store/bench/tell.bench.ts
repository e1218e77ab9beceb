/**
 * How fast messages are accepted: tells with 1,024 in flight, to actors that are all busy, beside the same inserts without
 * a runtime. `npm run bench -- tell`.
 */
import { Actor, ActorSystem, makeMessageIds } from "@pontoon/runtime"
import { Effect, Layer, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { SqliteStore } from "../src/index.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { prepareStatements } from "../src/statements.ts"
import { ACTORS, BODY_LENGTH, inFolder, text } from "./askFor.ts"

const IN_FLIGHT = 1_024
const SECONDS = 1.5
/** Of one insert batch: what 1,024 in flight come to when one half is told while the other is written. */
const BATCH = 512

/** An actor whose first message never ends, so that all others wait in its mailbox, as rows. */
const Busy = Actor.make("busy", {
  protocol: [Rpc.make("note", { payload: { text: Schema.String } })],
  handlers: { note: () => Effect.never },
  mailbox: { capacity: 1_000_000 },
})

const runTells = (file: string): Promise<number> => {
  const told = Effect.gen(function* () {
    const system = yield* ActorSystem
    const tell = () => system.tell(Busy.ref(`${Math.floor(Math.random() * ACTORS)}`), "note", { text })
    for (let actor = 0; actor < ACTORS; actor++) yield* system.tell(Busy.ref(`${actor}`), "note", { text })
    const tellFor = (seconds: number) =>
      Effect.gen(function* () {
        let count = 0
        const startMs = performance.now()
        const endMs = startMs + seconds * 1_000
        const teller = Effect.gen(function* () {
          for (; performance.now() < endMs; count++) yield* tell()
        })
        yield* Effect.all(
          Array.from({ length: IN_FLIGHT }, () => teller),
          { concurrency: "unbounded", discard: true },
        )
        return (count / (performance.now() - startMs)) * 1_000
      })
    yield* tellFor(SECONDS / 4)
    return yield* tellFor(SECONDS)
  })
  const layer = ActorSystem.layer({ actors: [Busy], drainMsMax: 0 }).pipe(Layer.provide(SqliteStore.layer(file)))
  return Effect.runPromise(Effect.provide(told, layer))
}

const runInserts = async (file: string): Promise<number> => {
  const { database, close } = openDatabase(file)
  const { append, begin, commit } = prepareStatements(database)
  const ids = makeMessageIds(Date.now, Math.random)
  const body = JSON.stringify({ text })
  const insertFor = async (seconds: number): Promise<number> => {
    let count = 0
    const startMs = performance.now()
    while (performance.now() < startMs + seconds * 1_000) {
      const nowMs = Date.now()
      begin.run()
      for (let nth = 0; nth < BATCH; nth++, count++) {
        const id = ids.next()
        const actor = `${Math.floor(Math.random() * ACTORS)}`
        append.run(
          id,
          "busy",
          actor,
          null,
          "note",
          "json",
          "pending",
          0,
          0,
          nowMs,
          nowMs,
          null,
          null,
          null,
          id,
          null,
          null,
          null,
          id,
          body,
        )
      }
      commit.run()
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
    return (count / (performance.now() - startMs)) * 1_000
  }
  await insertFor(SECONDS / 4)
  const perSecond = await insertFor(SECONDS)
  close()
  return perSecond
}

export default {
  conditions: [
    "ours: tells to actors whose handler is busy, so that each is one pending row; 1,024 fibers, each waits for its row",
    `the inserts: the same prepared statement, ${BATCH} rows a transaction, one transaction a turn of the loop`,
    "durability: WAL, synchronous=FULL, on both sides; schema and indexes: Pontoon's own, on both sides",
    `actors: ${ACTORS}, chosen at random; bodies of ${BODY_LENGTH} characters of JSON`,
    `${SECONDS} s a run after ${SECONDS / 4} s of warming up, in one process, a new file a run`,
  ],
  cases: [
    {
      name: `${IN_FLIGHT} in flight`,
      peer: "raw batched inserts",
      runOurs: async () => ({ "tells/s": await inFolder(runTells) }),
      runPeer: async () => ({ "tells/s": await inFolder(runInserts) }),
    },
  ],
}
