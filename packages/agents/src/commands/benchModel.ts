/** `pontoon-models bench`: how fast a folder answers here, in seconds of measuring; not a comparison with anything. */
import { Effect, Stream } from "effect"
import type { EncoderTarget } from "../EncoderTarget.ts"
import { Engine } from "../engine/Engine.ts"
import type { Dtype } from "../inference/folder/modelFolder.ts"
import type { GenerationTiming, ModelTarget } from "../ModelTarget.ts"
import { formatColumns, type Output } from "./Output.ts"

export interface BenchOptions {
  readonly folder: string
  readonly dtype: Dtype
  readonly threads: number
  /** How many at once, a round each. */
  readonly rounds: ReadonlyArray<number>
  readonly isJson: boolean
}

/** Long enough that the first token does not count for much. Answers go on after their ends, so that rounds compare. */
const TOKENS = 64

/** Each of the answers at once gets another, so that no cache helps: what is measured is the model. */
const promptFor = (index: number): string =>
  `Number ${index}: please tell me what you can do for me today, in a few words.`

/** Texts of a round of an encoder: half a second of a small one, read one by one. */
const TEXTS = 32

export interface DecoderRound {
  readonly concurrency: number
  readonly tokensPerSecond: number
  /** Medians over the answers. */
  readonly firstTokenMs: number
  readonly perTokenMs: number
  readonly tokens: number
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const [low = 0, high = 0] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  return (low + high) / 2
}

const known = (timings: ReadonlyArray<GenerationTiming | undefined>, key: "firstTokenMs" | "perTokenMs") =>
  median(timings.flatMap((timing) => timing?.[key] ?? []))

/** One round: `concurrency` answers at once, from the first request to the last token. */
export const benchRound = Effect.fnUntraced(function* (target: ModelTarget["Service"], concurrency: number) {
  const startMs = performance.now()
  const answers = yield* Effect.forEach(
    Array.from({ length: concurrency }, (_, index) => promptFor(index)),
    (content) =>
      target
        .generate({
          prompt: [{ role: "user", content }],
          sampling: { temperature: 0, maxTokens: TOKENS, ignoreEnd: true },
        })
        .pipe(Stream.runCollect),
    { concurrency: "unbounded" },
  )
  const seconds = (performance.now() - startMs) / 1000
  const finished = answers.flat().flatMap((event) => (event._tag === "Finished" ? event : []))
  const tokens = finished.reduce((sum, { usage }) => sum + usage.completionTokens, 0)
  const timings = finished.map(({ timing }) => timing)
  return {
    concurrency,
    tokensPerSecond: tokens / seconds,
    firstTokenMs: known(timings, "firstTokenMs"),
    perTokenMs: known(timings, "perTokenMs"),
    tokens,
  } satisfies DecoderRound
})

const benchDecoder = Effect.fnUntraced(function* (output: Output, options: BenchOptions) {
  const { dtype, folder, rounds, threads: intraOpNumThreads } = options
  const slots = Math.max(...rounds)
  const { target } = yield* Engine.decoder({ folder, dtype, intraOpNumThreads, slots, cachedConversationsMax: 0 })
  // The first answer allocates what later ones find.
  yield* benchRound(target, 1)
  const measured: Array<DecoderRound> = []
  for (const concurrency of rounds) {
    output.progress(`${concurrency} at once …`)
    measured.push(yield* benchRound(target, concurrency))
  }
  output.progress("")
  if (options.isJson) {
    const { provider, path } = target.describe
    return yield* output.print([
      JSON.stringify({ kind: "decoder", provider, path, threads: intraOpNumThreads, rounds: measured }),
    ])
  }
  yield* output.print([
    ...formatColumns([
      ["at once", "tokens/s", "first token", "per token"],
      ...measured.map((round) => [
        String(round.concurrency),
        round.tokensPerSecond.toFixed(0),
        `${round.firstTokenMs.toFixed(1)} ms`,
        `${round.perTokenMs.toFixed(2)} ms`,
      ]),
    ]),
    `${target.describe.path?.kind ?? "turns"}, ${intraOpNumThreads} thread${intraOpNumThreads === 1 ? "" : "s"}; medians over the answers.`,
  ])
})

/** Texts a second, `concurrency` of them at once. */
export const benchTexts = Effect.fnUntraced(function* (target: EncoderTarget["Service"], concurrency: number) {
  const read = (each: string) =>
    target.describe.labels.length === 0 ? Effect.asVoid(target.embed([each])) : Effect.asVoid(target.classify([each]))
  const texts = Array.from({ length: TEXTS }, (_, index) => promptFor(index))
  const startMs = performance.now()
  yield* Effect.forEach(texts, read, { concurrency, discard: true })
  return TEXTS / ((performance.now() - startMs) / 1000)
})

const benchEncoder = Effect.fnUntraced(function* (output: Output, options: BenchOptions) {
  const { dtype, folder, rounds, threads: intraOpNumThreads } = options
  const { target } = yield* Engine.encoder({ folder, dtype, intraOpNumThreads, queueMax: TEXTS })
  yield* benchTexts(target, 1)
  const measured: Array<{ readonly concurrency: number; readonly textsPerSecond: number }> = []
  for (const concurrency of rounds) {
    measured.push({ concurrency, textsPerSecond: yield* benchTexts(target, concurrency) })
  }
  if (options.isJson) {
    return yield* output.print([JSON.stringify({ kind: "encoder", threads: intraOpNumThreads, rounds: measured })])
  }
  yield* output.print(
    formatColumns([
      ["at once", "texts/s"],
      ...measured.map(({ concurrency, textsPerSecond }) => [String(concurrency), textsPerSecond.toFixed(0)]),
    ]),
  )
})

export const benchModel = (output: Output, options: BenchOptions) =>
  Effect.catchTag(benchDecoder(output, options), "TerminalModelFailure", (failure) =>
    failure.reason === "unsupported"
      ? Effect.catchTag(benchEncoder(output, options), "TerminalModelFailure", () => Effect.fail(failure))
      : Effect.fail(failure),
  )
