/**
 * A process that streams and reads: asks for the words on the log of argv[2] under one key, reads them from number argv[3]
 * on, and says each number as it gets it. The request is handed on from one actor to another.
 */
import { Actor, forward, Pontoon, Task } from "@pontoon/runtime"
import { Effect, Schema } from "effect"
import { SqliteStore } from "../../src/index.ts"
import { say } from "./say.ts"

const [file = "", from = "0"] = process.argv.slice(2)

const Say = Task.stream("Say", { payload: { words: Schema.Int }, chunk: Schema.String, whole: Schema.Int })
const Talker = Actor.make("talker", {
  protocol: [Say],
  retry: { attemptsMax: 100, backoff: { baseMs: 1, factor: 1, maxMs: 1, jitter: 0 } },
  handlers: {
    Say: ({ words }, actor) =>
      Effect.gen(function* () {
        const before = yield* actor.resume
        for (let word = before.length; word < words; word++) {
          yield* actor.emit(`w${word}`)
          yield* Effect.sleep(1)
        }
        return words
      }),
  },
})
const Front = Actor.make("front", { protocol: [Say], handlers: { Say: (_, actor) => forward(actor, Talker.ref("t")) } })

const pontoon = await Pontoon.open({ store: SqliteStore.layer(file), actors: [Front, Talker], chunkLingerMs: 5 })
const id = await pontoon.tell(Front.ref("f"), "Say", { words: 200 }, { idempotencyKey: "the words" })
for await (const { chunk, number } of pontoon.read(Front.ref("f"), "Say", id, { from: Number(from) })) {
  say(`${number} ${chunk}`)
}
say("end")
await pontoon.close()
