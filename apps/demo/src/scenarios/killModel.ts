/**
 * A model's process is killed in mid-answer. The answer is finished by another replica from the last durable token, and
 * equals, to the byte, what the undisturbed model says.
 */
import { Effect } from "effect"
import { enterOwn, type Stage, speak } from "./Stage.ts"

const QUESTION = "hi, can i get a large iced vanilla latte with oat milk to go please"
/** Slow enough that the kill falls into the answer on any machine. */
const STEP_DELAY_MS = 40
/** Chunks that the customer has seen when the model dies; the answers have ten tokens and more. */
const CHUNKS_BEFORE_KILL = 4

/** Gives false where the two answers differ. */
export const killModel = Effect.fnUntraced(function* (stage: Stage) {
  const cluster = yield* stage.cluster
  yield* stage.note("Act 1: a model dies in mid-answer.")
  const calm = yield* speak(stage, enterOwn(stage, "calm", QUESTION))
  const replicas = [...cluster.models.keys()]
  yield* Effect.forEach(replicas, (replica) => cluster.slow(replica, STEP_DELAY_MS), { discard: true })
  let chunks = 0
  let killed: string | undefined
  const disturbed = yield* speak(stage, enterOwn(stage, "storm", QUESTION), (models) =>
    Effect.suspend(() => {
      chunks++
      const model = models.at(-1)
      if (killed !== undefined || chunks < CHUNKS_BEFORE_KILL || model === undefined) return Effect.void
      const pid = cluster.models.get(model)
      if (pid === undefined) return Effect.void
      killed = model
      process.kill(pid, "SIGKILL")
      return stage.note(`kill -9 ${pid}: ${model} is gone in mid-answer.`)
    }),
  )
  yield* Effect.forEach(replicas, (replica) => cluster.slow(replica, 0), { discard: true })
  const same = killed !== undefined && disturbed.resumed.length > 0 && disturbed.text === calm.text
  const by = `${disturbed.models.join(", then ")} (${disturbed.resumed.join(", ") || "never resumed"})`
  yield* stage.note(
    same
      ? `Both answers are equal, byte for byte. The second was written by ${by}.`
      : `THE ANSWERS DIFFER: "${calm.text}" and "${disturbed.text}", written by ${by}.`,
  )
  return same
})
