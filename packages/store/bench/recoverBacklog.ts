/**
 * One process of recovery.bench.ts: opens a log of pending messages, by the runtime or by plain SQL, and runs them all.
 * `node recoverBacklog.ts runtime|plain FILE MESSAGES`; prints what it measured as JSON.
 *
 * A process of its own, because its memory is what is measured.
 */
import { Actor, ActorSystem, MessageStore } from "@pontoon/runtime"
import { Effect, Layer, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { openDatabase } from "../src/openDatabase.ts"
import { SqliteStore } from "../src/SqliteStore.ts"
import * as messages from "../src/sql/messages.ts"

const [side = "", file = "", count = ""] = process.argv.slice(2)
const total = Number(count)
const startedMs = performance.now()

/** How often each message was read, by the number in its id. */
const reads = new Uint8Array(total)
let ran = 0
let firstMs = Number.NaN

const run = (): void => {
  if (ran++ === 0) firstMs = performance.now() - startedMs
}
const noteReads = (rows: ReadonlyArray<{ readonly id: string }>): void => {
  for (const { id } of rows) reads[Number(id.slice(1))]!++
}

const Bench = Actor.make("bench", {
  protocol: [Rpc.make("run", { payload: { text: Schema.String } })],
  handlers: { run: () => Effect.sync(run) },
})

/** The store, with every row counted that is read to be run. */
const counted = Layer.effect(
  MessageStore,
  Effect.map(SqliteStore.make(file), (store) =>
    MessageStore.of({
      ...store,
      unfinished: (afterSeq, limit) =>
        Effect.tap(store.unfinished(afterSeq, limit), (rows) => Effect.sync(() => noteReads(rows))),
      due: (...page) => Effect.tap(store.due(...page), (rows) => Effect.sync(() => noteReads(rows))),
    }),
  ),
)

const runRuntime = Effect.gen(function* () {
  const system = yield* ActorSystem
  while (ran < total || (yield* system.unfinished) > 0) yield* Effect.sleep(20)
}).pipe(Effect.provide(ActorSystem.layer({ actors: [Bench] }).pipe(Layer.provide(counted))))

/** The same rows, a page a transaction: each is claimed, run, and settled. */
const runPlain = (): void => {
  const { close, database } = openDatabase(file)
  const page = database.prepare<[number, number], { readonly id: string; readonly seq: number }>(messages.UNFINISHED)
  const claim = database.prepare(messages.CLAIM)
  const settle = database.prepare(messages.SETTLE)
  for (let afterSeq = 0; ; ) {
    const rows = page.all(afterSeq, 1_000)
    if (rows.length === 0) break
    noteReads(rows)
    database.transaction(() => {
      for (const { id } of rows) claim.run(1, Date.now(), id, 0)
    })()
    rows.forEach(run)
    database.transaction(() => {
      for (const { id } of rows) settle.run("done", "null", null, Date.now(), id, 1)
    })()
    afterSeq = rows.at(-1)!.seq
  }
  close()
}

if (side === "runtime") await Effect.runPromise(runRuntime)
else runPlain()

console.log(
  JSON.stringify({
    "first run ms": firstMs,
    "peak RSS MB": process.resourceUsage().maxRSS / 1_024,
    "drained/s": ran / ((performance.now() - startedMs) / 1_000),
    drained: ran,
    "read twice": reads.reduce((sum, times) => sum + Math.max(0, times - 1), 0),
  }),
)
