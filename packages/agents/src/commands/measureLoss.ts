/** The boundary from two variants of a folder to what the smaller one lost, on the texts that fit the kind of model. */
import { Tokenizer } from "@huggingface/tokenizers"
import { Effect, Result } from "effect"
import { Engine } from "../engine/Engine.ts"
import { settingsOf } from "../engine/EngineOptions.ts"
import { openStep } from "../inference/decoding/openStep.ts"
import {
  contextLengthOf,
  endTokenIds,
  type ModelFolder,
  oneLine,
  specialToken,
} from "../inference/folder/modelFolder.ts"
import { makeModelTokenizer } from "../inference/text/ModelTokenizer.ts"
import { continueGreedily, measureDecoder } from "../quantization/measureDecoder.ts"
import { cutWindows, PROMPTS, readCsv, readLines, readWhole } from "../quantization/measuredTexts.ts"
import { measureEncoder } from "../quantization/measureEncoder.ts"
import { refuse } from "./Output.ts"

export interface MeasuredOn {
  readonly text: string | undefined
  readonly csv: string | undefined
}

/** As long as most chats, and short enough for a model that says no length of its own. */
const WINDOW_TOKENS_MAX = 512

/** New tokens after each of our own prompts: enough to leave the prompt behind. */
const CONTINUED_TOKENS = 32

const openStepOf = (folder: ModelFolder) =>
  openStep(settingsOf("decoder", { folder: folder.folder, dtype: folder.dtype, slots: 1 }), folder)

const readWindows = Effect.fnUntraced(function* (
  folder: ModelFolder,
  step: Effect.Success<ReturnType<typeof openStepOf>>["step"],
  path: string | undefined,
) {
  if (path !== undefined) {
    const text = yield* readWhole(path)
    const tokenizer = new Tokenizer(folder.rawTokenizer, folder.rawTokenizerConfig)
    const { ids } = tokenizer.encode(text, { add_special_tokens: false })
    const begin = specialToken(folder.tokenizerConfig.bos_token)
    const windows = cutWindows(
      ids,
      Math.min(contextLengthOf(folder) ?? WINDOW_TOKENS_MAX, WINDOW_TOKENS_MAX),
      begin === undefined ? undefined : tokenizer.token_to_id(begin),
    )
    return windows.length > 0 ? windows : yield* refuse(`${path} has fewer than two tokens; give a longer text.`)
  }
  const tokenizer = yield* Effect.fromResult(makeModelTokenizer(folder, step.vocabSize ?? folder.config.vocab_size))
  const ends = endTokenIds(folder)
  const windows: Array<ReadonlyArray<number>> = []
  for (const content of PROMPTS) {
    const prompt = tokenizer.encodeChat([{ role: "user", content }])
    if (Result.isFailure(prompt)) return yield* refuse(`Model "${folder.name}": ${prompt.failure}; give --text FILE.`)
    const room = (contextLengthOf(folder) ?? WINDOW_TOKENS_MAX) - prompt.success.length
    if (room < 1 || prompt.success.length === 0) continue
    windows.push(
      yield* Effect.promise(() => continueGreedily(step, prompt.success, Math.min(CONTINUED_TOKENS, room), ends)),
    )
  }
  return windows.length > 0
    ? windows
    : yield* refuse(`Model "${folder.name}" has no room for a prompt of ours; give --text FILE.`)
})

const measureDecoders = Effect.fnUntraced(function* (before: ModelFolder, after: ModelFolder, on: MeasuredOn) {
  const first = yield* openStepOf(before)
  if (on.csv !== undefined) return yield* refuse("--csv is for encoders that classify; give a decoder --text FILE.")
  const second = yield* openStepOf(after)
  const windows = yield* readWindows(before, first.step, on.text)
  return yield* Effect.tryPromise({
    try: () => measureDecoder(first.step, second.step, windows),
    catch: (cause) => refuse(`The loss of ${after.weightsPath} cannot be measured: ${oneLine(cause)}.`),
  })
})

const measureEncoders = Effect.fnUntraced(function* (before: ModelFolder, after: ModelFolder, on: MeasuredOn) {
  const texts =
    on.csv !== undefined
      ? yield* readCsv(on.csv)
      : on.text !== undefined
        ? yield* readLines(on.text)
        : PROMPTS.map((text) => ({ text, label: undefined }))
  const open = (folder: ModelFolder) => Engine.encoder({ folder: folder.folder, dtype: folder.dtype })
  const first = yield* open(before)
  const second = yield* open(after)
  return yield* measureEncoder(first.target, second.target, texts)
})

export type ModelKind = "decoder" | "encoder"

/** Measures the loss; what is no decoder is read as an encoder. */
export const measureLoss = (before: ModelFolder, after: ModelFolder, on: MeasuredOn) => {
  const asDecoder = Effect.map(measureDecoders(before, after, on), (loss) => ({ kind: "decoder" as const, loss }))
  const asEncoder = Effect.map(measureEncoders(before, after, on), (loss) => ({ kind: "encoder" as const, loss }))
  return Effect.catchTag(asDecoder, "TerminalModelFailure", (failure) =>
    failure.reason === "unsupported" ? asEncoder : Effect.fail(failure),
  )
}
