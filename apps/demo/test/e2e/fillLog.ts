/**
 * A small program on the Promise API, started by the tests of bad input: opens FILE, fills it with messages until it is
 * refused or `COUNT` are accepted, waits until the file NAME.room is gone, sends one more, and says how many were accepted.
 */
import { existsSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { Actor, Pontoon } from "@pontoon/runtime"
import { SqliteStore } from "@pontoon/store"
import { Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"

const [file = "", count = "1", room] = process.argv.slice(2)
const BODY = "x".repeat(10_000)

const Box = Actor.make("box", {
  protocol: [Rpc.make("Put", { payload: { text: Schema.String }, success: Schema.Number })],
  state: Schema.Number,
  initialState: 0,
  handlers: {
    Put: (_, actor) =>
      Effect.sync(() => {
        actor.setState(actor.state + 1)
        return actor.state + 1
      }),
  },
})

const say = (news: object) => console.log(JSON.stringify(news))
const describe = (error: unknown) =>
  error instanceof Error && "_tag" in error ? { tag: error._tag, message: error.message } : { message: String(error) }

try {
  const pontoon = await Pontoon.open({ store: SqliteStore.layer(file), actors: [Box] })
  let accepted = 0
  const put = async () => {
    await pontoon.tell(Box.ref("a"), "Put", { text: BODY })
    accepted++
  }
  try {
    while (accepted < Number(count)) await put()
  } catch (error) {
    say({ refused: describe(error) })
  }
  if (room !== undefined) {
    while (existsSync(room)) await sleep(20)
    await put()
    await pontoon.ask(Box.ref("a"), "Put", { text: "last" })
    accepted++
  }
  await pontoon.close()
  say({ accepted })
} catch (error) {
  say({ failed: describe(error) })
  process.exitCode = 1
}
