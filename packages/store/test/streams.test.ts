/** A streamed reply whose process is killed while it writes and while it is read. */
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { SqliteLogReader } from "../src/index.ts"
import { startChild } from "./support/childProcess.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

/** Chunks that are read before each kill; at the last, the process is left to end. */
const LIVES = [40, 1, 90, 60]

describe("a reader that comes back", () => {
  it("sees each chunk once, in order, over kill -9 of the process that writes them, and that it reads in", () =>
    Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const file = yield* temporaryFile
          const seen: Array<string> = []
          for (const life of [...LIVES, Number.POSITIVE_INFINITY]) {
            const child = yield* startChild("streamingProcess.ts", [file, `${seen.length}`])
            let line: string | undefined
            for (let read = 0; read < life; read++) {
              line = yield* Effect.promise(child.line)
              if (line === undefined || line === "end") break
              seen.push(line)
            }
            if (line === "end") break
            child.process.kill("SIGKILL")
            yield* Effect.promise(() => child.ended)
          }
          expect(seen).toEqual(Array.from({ length: 300 }, (_, number) => `${number} w${number}`))
          const reader = yield* SqliteLogReader.make(file)
          const [message] = yield* reader.messages({ limit: 10 })
          expect(message).toMatchObject({ status: "done", reply: "300", actorType: "talker", via: '["front/f"]' })
          expect((yield* reader.routes({}, 10)).map(({ reason }) => reason)).toEqual(["handed on by front/f"])
        }),
      ),
    ))
})
