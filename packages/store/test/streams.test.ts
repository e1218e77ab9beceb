/** A streamed reply whose process is killed while it writes and while it is read. */
import { Actor, ActorSystem, Task } from "@pontoon/runtime"
import Database from "better-sqlite3"
import { Effect, Layer, Schema, Stream } from "effect"
import { describe, expect, it } from "vitest"
import { SqliteLogReader, SqliteStore } from "../src/index.ts"
import { startChild } from "./support/childProcess.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

/** Chunks that are read before each kill; the process after that is left to end. */
const LIVES = [40, 70]

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
          expect(seen).toEqual(Array.from({ length: 200 }, (_, number) => `${number} w${number}`))
          const reader = yield* SqliteLogReader.make(file)
          const [message] = yield* reader.messages({ limit: 10 })
          expect(message).toMatchObject({ status: "done", reply: "200", actorType: "talker", via: '["front/f"]' })
          expect((yield* reader.routes({}, 10)).map(({ reason }) => reason)).toEqual(["handed on by front/f"])
        }),
      ),
    ))

  it("is told where retention has removed the message, also while its chunks are still being removed", () =>
    Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const Say = Task.stream("Say", { payload: {}, chunk: Schema.String, whole: Schema.String })
          const Talker = Actor.make("talker", {
            protocol: [Say],
            handlers: { Say: (_, actor) => Effect.as(actor.emit("word"), "whole") },
          })
          const file = yield* temporaryFile
          const withSystem = <A, E>(use: (system: ActorSystem["Service"]) => Effect.Effect<A, E>) =>
            Effect.provide(
              Effect.flatMap(ActorSystem, use),
              ActorSystem.layer({ actors: [Talker] }).pipe(Layer.provide(SqliteStore.layer(file))),
            )
          const id = yield* withSystem((system) =>
            Effect.tap(system.tell(Talker.ref("t"), "Say", {}), (told) => system.outcome(told)),
          )
          // What the pruner does first; its chunks go later, in steps.
          const database = new Database(file)
          database.prepare("delete from messages").run()
          expect(database.prepare("select count(*) as count from chunks").get()).toEqual({ count: 1 })
          database.close()
          const read = withSystem((system) => Stream.runDrain(system.read(Talker.ref("t"), "Say", id)))
          expect(yield* Effect.flip(read)).toMatchObject({
            _tag: "TerminalInvalidMessage",
            message: `There is no message ${id} in the log: it was never accepted, or retention has removed it.`,
          })
        }),
      ),
    ))
})
