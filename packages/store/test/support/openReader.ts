/** A process that opens the log on argv[2] for reading, and says how that went in one line of JSON. */
import { Effect } from "effect"
import { SqliteLogReader } from "../../src/index.ts"

await SqliteLogReader.make(process.argv[2]!).pipe(
  Effect.flatMap((reader) => reader.messages({ limit: 1 })),
  Effect.map((rows) => ({ rows: rows.length })),
  Effect.catch(({ _tag, reason, message }) => Effect.succeed({ _tag, reason, message })),
  Effect.tap((line) => Effect.sync(() => console.log(JSON.stringify(line)))),
  Effect.scoped,
  Effect.runPromise,
)
