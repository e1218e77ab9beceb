/** The boundary between one encoder's process and the messages that want a text classified. */
import { type EncoderHandle, type EncoderOptions, Engine } from "@pontoon/agents"
import { Actor } from "@pontoon/runtime"
import { Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"

export const Classify = Rpc.make("Classify", {
  payload: { text: Schema.String },
  success: Schema.Struct({ label: Schema.String, confidence: Schema.Number }),
})

/**
 * Texts that are classified at once: four batches of the engine's, so that one is always ready while another runs, and
 * well below the queue (64) past which the engine refuses.
 */
const CONCURRENCY = 32

/** A model actor without state over an encoder; it is restarted when its process dies, and what it was running is retried. */
export const makeClassifier = (name: string, options: EncoderOptions) =>
  Actor.make(name, {
    protocol: [Classify],
    concurrency: CONCURRENCY,
    start: (self): ReturnType<typeof Engine.encoder> =>
      Effect.gen(function* () {
        const engine: EncoderHandle = yield* Engine.encoder(options)
        yield* self.describe(`${engine.target.describe.provider}, process ${engine.pid}`)
        yield* engine.target.died.pipe(
          Effect.catch((error) => self.crash(error.message)),
          Effect.forkScoped,
        )
        return engine
      }),
    handlers: {
      Classify: ({ text }, actor) =>
        Effect.map(actor.resource.target.classify([text]), ([best]) => ({
          label: best!.label,
          confidence: best!.confidence,
        })),
    },
  })
