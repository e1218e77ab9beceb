/** A process that opens the store on argv[2], says how that went in one line of JSON, and holds it until it is killed. */
import { Effect } from "effect"
import { SqliteStore } from "../../src/index.ts"

const file = process.argv[2]!
// A fiber that waits keeps no process alive; this does.
const alive = setInterval(() => {}, 60_000)
const outcome = await Effect.runPromise(
  SqliteStore.make(file).pipe(
    Effect.map((store) => ({ open: store.location, pid: process.pid })),
    Effect.catch(({ _tag, reason, message }) => Effect.succeed({ _tag, reason, message })),
    Effect.tap((line) => Effect.sync(() => console.log(JSON.stringify(line)))),
    Effect.tap((line) => ("open" in line ? Effect.never : Effect.void)),
    Effect.scoped,
  ),
)
clearInterval(alive)
process.exitCode = "open" in outcome ? 0 : 1
