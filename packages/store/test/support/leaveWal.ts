/**
 * An owner that is killed while a reader holds its write-ahead log back, argv: FILE, COUNT: writes so many messages of a megabyte,
 * each two of the log as it is appended and settled, then one that waits, and dies.
 */
import { append, appendClaimed, settle } from "@pontoon/runtime/testing"
import Database from "better-sqlite3"
import { Effect } from "effect"
import { SqliteStore } from "../../src/index.ts"

const [, , file = "", count = "64"] = process.argv
const fields = { actorType: "ledger", actorId: "a", task: "Add" }
const body = JSON.stringify({ by: 1, pad: "x".repeat(1_048_576 - 4_096) })

await Effect.gen(function* () {
  const store = yield* SqliteStore.make(file)
  const reader = new Database(file, { readonly: true })
  reader.exec("begin")
  reader.prepare("select count(*) from messages").get()
  for (let n = 0; n < Number(count); n++) {
    yield* store.commit([appendClaimed(`left-${n}`, { ...fields, body }), { ...settle(`left-${n}`), reply: "1" }])
  }
  yield* store.commit([append("waits", { ...fields, body: '{"by":5,"pad":""}' })])
  process.kill(process.pid, "SIGKILL")
}).pipe(Effect.scoped, Effect.runPromise)
