/**
 * The boundary between texts to be read and the messages that have it done: one answer a call, cancelled when its asker goes.
 */
import { Effect, Schema } from "effect"
import type { Classification, EncoderTarget, RankedPassage } from "../EncoderTarget.ts"
import { modelFailure } from "../inference/folder/modelFolder.ts"
import { admit, awaitAnswer, type Gate, invalid } from "./Gate.ts"
import { Encode, type Encoded } from "./protocol.ts"

export interface EncoderGate extends Gate {
  readonly labels: ReadonlyArray<string>
  /** Texts that one request may hold. */
  readonly textsMax: number
}

/**
 * UTF-16 units of a request's texts at most. Every one of them is tokenised, whether the model has room for it or not, at
 * some microsecond each: a second of the model's time.
 */
const UNITS_MAX = 1_000_000

const decodeEncode = Schema.decodeUnknownEffect(Encode)

/** What makes a request too large, as a sentence. */
const findTooLarge = ({ textsMax }: EncoderGate, { query = "", texts }: Encode): string | undefined => {
  if (texts.length > textsMax) {
    return `${texts.length} texts are too many for one request; textsMax is ${textsMax}. Split them, or raise it.`
  }
  const units = texts.reduce((sum, { length }) => sum + length + query.length, 0)
  return units > UNITS_MAX
    ? `its texts have ${units} characters, and one request may have ${UNITS_MAX}; split them.`
    : undefined
}

/** Has texts read, and hears the one answer. */
const encodeWith = (gate: EncoderGate) => (want: Omit<Encode, "_tag" | "id">) =>
  Effect.gen(function* () {
    yield* admit(gate)
    const id = gate.process.nextId()
    const message = yield* decodeEncode({ _tag: "Encode", id, ...want }).pipe(Effect.mapError(invalid(gate.name)))
    const tooLarge = findTooLarge(gate, message)
    if (tooLarge !== undefined) return yield* modelFailure(gate.name)("request", tooLarge)
    return yield* awaitAnswer(gate.process, message, (reply) => (reply._tag === "Encoded" ? reply : undefined))
  }).pipe(Effect.scoped)

/** The numbers of each text. */
const rowsOf = ({ cutTokens, values }: Encoded): ReadonlyArray<Float32Array> => {
  const width = values.length / cutTokens.length
  return cutTokens.map((_, row) => values.subarray(row * width, (row + 1) * width))
}

const classificationOf = (
  labels: ReadonlyArray<string>,
  probabilities: Float32Array,
  cutTokens: number,
): Classification => {
  const scores = labels
    .map((label, index) => ({ label, score: probabilities[index] ?? 0 }))
    .sort((a, b) => b.score - a.score)
  return { label: scores[0]?.label ?? "", confidence: scores[0]?.score ?? 0, scores, cutTokens }
}

/** Everything that a loaded encoder is asked. */
export const encoderCalls = (
  gate: EncoderGate,
): Pick<EncoderTarget["Service"], "classify" | "tag" | "embed" | "rerank"> => {
  const encode = encodeWith(gate)
  return {
    classify: (texts) =>
      Effect.map(encode({ want: "classes", texts }), (encoded) =>
        rowsOf(encoded).map((row, at) => classificationOf(gate.labels, row, encoded.cutTokens[at]!)),
      ),
    tag: (texts, options) =>
      Effect.map(encode({ want: "spans", texts, single: options?.single === true }), ({ cutTokens, spans = [] }) =>
        cutTokens.map((cut, at) => ({ spans: spans[at] ?? [], cutTokens: cut })),
      ),
    embed: (texts) =>
      Effect.map(encode({ want: "vectors", texts }), (encoded) => rowsOf(encoded).map((row) => Array.from(row))),
    rerank: (query, passages) =>
      Effect.map(encode({ want: "scores", texts: passages, query }), ({ cutTokens, values }) =>
        cutTokens
          .map((cut, index): RankedPassage => ({ index, score: values[index] ?? 0, cutTokens: cut }))
          .sort((a, b) => b.score - a.score),
      ),
  }
}
