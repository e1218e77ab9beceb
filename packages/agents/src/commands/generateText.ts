/** `pontoon-models generate`: one answer of a decoder, on standard output as it is made. */
import { Effect, Stream } from "effect"
import { Engine } from "../engine/Engine.ts"
import type { Dtype } from "../inference/folder/modelFolder.ts"
import type { ChatMessage, GenerationFinished, Sampling } from "../ModelTarget.ts"
import { type Output, refuse } from "./Output.ts"

export interface GenerateOptions {
  readonly folder: string
  readonly dtype: Dtype
  readonly threads: number
  readonly prompt: string
  readonly system: string | undefined
  readonly sampling: Sampling
  readonly isJson: boolean
}

/** An encoder fails as a decoder with a sentence about its graph; this is what to do about it. */
export const adviseReader = (folder: string) => (failure: { readonly message: string; readonly reason: string }) =>
  failure.reason === "unsupported" && failure.message.includes("not a decoder")
    ? refuse(`${failure.message} If it is an encoder, run: pontoon-models classify ${folder} TEXT`)
    : refuse(failure.message)

export const generateText = Effect.fnUntraced(function* (output: Output, options: GenerateOptions) {
  const { dtype, folder, isJson, sampling, threads: intraOpNumThreads } = options
  const { target } = yield* Engine.decoder({ folder, dtype, slots: 1, intraOpNumThreads }).pipe(
    Effect.catchTag("TerminalModelFailure", (failure) => Effect.fail(adviseReader(folder)(failure))),
  )
  const prompt: ReadonlyArray<ChatMessage> = [
    ...(options.system === undefined ? [] : [{ role: "system" as const, content: options.system }]),
    { role: "user", content: options.prompt },
  ]
  let text = ""
  let finished: GenerationFinished | undefined
  const tokens: Array<number> = []
  yield* Stream.runForEach(target.generate({ prompt, sampling }), (event) => {
    if (event._tag === "Finished") {
      finished = event
      return Effect.void
    }
    text += event.text
    tokens.push(...event.tokenIds)
    return isJson ? Effect.void : output.write(event.text)
  })
  if (!isJson) return yield* output.write(text.endsWith("\n") ? "" : "\n")
  yield* output.print([
    JSON.stringify({ text, tokens, usage: finished?.usage, reason: finished?.reason, timing: finished?.timing }),
  ])
})
