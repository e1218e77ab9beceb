// The outside application, as a user of the packages would write it: plain JavaScript, Fastify, the Promise API. The test
// copies this file into a folder outside the workspace, beside a model folder of its own.
import { ConversationActor, ModelActor } from "@pontoon/agents"
import { closeOnSignals, Pontoon } from "@pontoon/runtime"
import { SqliteStore } from "@pontoon/store"
import Fastify from "fastify"

const STEP_DELAY_MS = Number(process.env.STEP_DELAY_MS ?? 0)

const model = ModelActor.make("model", {
  folder: "./my-model",
  // A small model on a fast machine answers before a test can kill it; only that is why the app slows it.
  onStarted: (_id, handle) => {
    console.log(JSON.stringify({ model: handle.pid }))
    return handle.setStepDelayMs(STEP_DELAY_MS)
  },
})
const chat = ConversationActor.make("chat", { model: model.ref("a"), sampling: { maxTokens: 60 } })
const pontoon = await Pontoon.open({ store: SqliteStore.layer("pontoon.db"), actors: [model, chat] })

const app = Fastify()
app.post("/ask", async (request, reply) => {
  const { customer, text } = request.body
  const idempotencyKey = request.headers["idempotency-key"]
  try {
    return await pontoon.ask(chat.ref(customer), "Say", { text }, { idempotencyKey })
  } catch (error) {
    reply.code(error._tag?.startsWith("Retryable") ? 503 : 400)
    return { error: error._tag, message: error.message }
  }
})

// First no more requests, then what is under way; the exit code is this application's own.
closeOnSignals({
  exitCode: 0,
  close: async () => {
    await app.close()
    await pontoon.close()
  },
})

console.log(JSON.stringify({ listening: await app.listen({ host: "127.0.0.1", port: 0 }) }))
