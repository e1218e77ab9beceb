/** The boundary to what a smaller encoder lost: both read the same texts. */
import { Effect } from "effect"
import type { EncodeFailure, EncoderTarget } from "../EncoderTarget.ts"

export interface LabelledText {
  readonly text: string
  readonly label: string | undefined
}

export interface EncoderLoss {
  readonly texts: number
  /** Share of texts with the right label; undefined where no label was given. */
  readonly accuracyBefore: number | undefined
  readonly accuracyAfter: number | undefined
  /** Share of texts with the same label from both; undefined where they do not classify. */
  readonly agreement: number | undefined
  /** Greatest difference of a probability, where they classify. */
  readonly differenceMax: number | undefined
  /** Mean cosine of the two vectors of a text, where they embed only. */
  readonly cosine: number | undefined
}

type Encoder = EncoderTarget["Service"]

/** Few enough that an answer of vectors stays small. */
const BATCH_TEXTS = 32

const inBatches = <A>(
  texts: ReadonlyArray<LabelledText>,
  read: (texts: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<A>, EncodeFailure>,
) =>
  Effect.gen(function* () {
    const found: Array<A> = []
    for (let at = 0; at < texts.length; at += BATCH_TEXTS) {
      found.push(...(yield* read(texts.slice(at, at + BATCH_TEXTS).map(({ text }) => text))))
    }
    return found
  })

const shareOf = (hits: ReadonlyArray<boolean>): number => hits.filter((hit) => hit).length / hits.length

const measureLabels = Effect.fnUntraced(function* (
  before: Encoder,
  after: Encoder,
  texts: ReadonlyArray<LabelledText>,
) {
  const one = yield* inBatches(texts, before.classify)
  const other = yield* inBatches(texts, after.classify)
  const labelled = texts.flatMap(({ label }, index) => (label === undefined ? [] : { label, index }))
  const accuracy = (found: typeof one) =>
    labelled.length === 0 ? undefined : shareOf(labelled.map(({ index, label }) => found[index]?.label === label))
  const differences = one.flatMap((found, index) =>
    found.scores.map(({ label, score }) =>
      Math.abs(score - (other[index]?.scores.find((each) => each.label === label)?.score ?? 0)),
    ),
  )
  return {
    texts: texts.length,
    accuracyBefore: accuracy(one),
    accuracyAfter: accuracy(other),
    agreement: shareOf(one.map(({ label }, index) => label === other[index]?.label)),
    differenceMax: differences.reduce((most, each) => Math.max(most, each), 0),
    cosine: undefined,
  } satisfies EncoderLoss
})

const measureVectors = Effect.fnUntraced(function* (
  before: Encoder,
  after: Encoder,
  texts: ReadonlyArray<LabelledText>,
) {
  const one = yield* inBatches(texts, before.embed)
  const other = yield* inBatches(texts, after.embed)
  // Vectors have length 1, so their product is the cosine.
  const cosines = one.map((vector, index) =>
    vector.reduce((sum, each, at) => sum + each * (other[index]?.[at] ?? 0), 0),
  )
  return {
    texts: texts.length,
    accuracyBefore: undefined,
    accuracyAfter: undefined,
    agreement: undefined,
    differenceMax: undefined,
    cosine: cosines.reduce((sum, each) => sum + each, 0) / cosines.length,
  } satisfies EncoderLoss
})

/** Has two encoders read the same texts. */
export const measureEncoder = (
  before: Encoder,
  after: Encoder,
  texts: ReadonlyArray<LabelledText>,
): Effect.Effect<EncoderLoss, EncodeFailure> =>
  before.describe.labels.length > 0 ? measureLabels(before, after, texts) : measureVectors(before, after, texts)
