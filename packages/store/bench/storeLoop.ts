/**
 * What the store alone does under the runtime's writes, without a runtime: one fiber per caller, an append and a
 * settlement per ask. Compare with `plainLoop`, the same SQL without the store, and its event-loop delay over the ways to
 * checkpoint.
 *
 *     node packages/store/bench/storeLoop.ts [SECONDS] [FOLDER]
 */
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { makeMessageIds } from "@pontoon/runtime"
import { appendClaimed, putActor, settle } from "@pontoon/runtime/testing"
import { Effect } from "effect"
import { SqliteStore, type StoreOptions } from "../src/index.ts"
import { plainLoop } from "./plainLoop.ts"

const seconds = Number(process.argv[2] ?? 5)
const body = JSON.stringify({ text: "x".repeat(240) })

const storeLoop = async (file: string, callers: number, options: StoreOptions): Promise<string> => {
  const ids = makeMessageIds(Date.now, Math.random)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  let asks = 0
  let walBytesMax = 0
  const startMs = performance.now()
  const endMs = startMs + seconds * 1_000
  const watch = setInterval(() => {
    walBytesMax = Math.max(walBytesMax, statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0)
  }, 50)
  await SqliteStore.make(file, options).pipe(
    Effect.flatMap((store) => {
      const caller = Effect.fnUntraced(function* (actorId: string) {
        while (performance.now() < endMs) {
          const id = ids.next()
          yield* store.commit([appendClaimed(id, { actorId, body })])
          yield* store.commit([{ ...settle(id), reply: body }, putActor({ type: "barista", id: actorId }, body)])
          asks++
        }
      })
      return Effect.all(
        Array.from({ length: callers }, (_, n) => caller(`${n}`)),
        { concurrency: "unbounded", discard: true },
      )
    }),
    Effect.scoped,
    Effect.runPromise,
  )
  clearInterval(watch)
  const perSecond = Math.round((asks / (performance.now() - startMs)) * 1_000)
  const [p50, p99] = [50, 99].map((share) => (delay.percentile(share) / 1e6).toFixed(1))
  return `${perSecond} asks/s, event-loop delay p50 ${p50} p99 ${p99} ms, WAL up to ${(walBytesMax / 2 ** 20).toFixed(1)} MB`
}

const folder = mkdtempSync(join(process.argv[3] ?? tmpdir(), "pontoon-store-loop-"))
try {
  for (const callers of [1, 64, 1_024]) {
    for (const checkpoint of ["thread", "commit"] as const) {
      const result = await storeLoop(join(folder, `${checkpoint}-${callers}.db`), callers, { checkpoint })
      console.log(`callers ${callers}, checkpoint on ${checkpoint}: ${result}`)
    }
    const plain = await plainLoop({ file: join(folder, `plain-${callers}.db`), callers, actors: callers, seconds })
    console.log(`callers ${callers}, plain loop: ${Math.round(plain.asksPerSecond)} asks/s`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
