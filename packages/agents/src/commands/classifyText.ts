/** `pontoon-models classify`: what an encoder makes of a text: the probability of each label, else its vector. */
import { Effect } from "effect"
import { Engine } from "../engine/Engine.ts"
import type { Dtype } from "../inference/folder/modelFolder.ts"
import { formatColumns, type Output } from "./Output.ts"

export interface ClassifyOptions {
  readonly folder: string
  readonly dtype: Dtype
  readonly threads: number
  readonly text: string
  readonly isJson: boolean
}

/** Labels that are shown to people; JSON has them all. */
const SHOWN_MAX = 5

const DIGITS = 4

export const classifyText = Effect.fnUntraced(function* (output: Output, options: ClassifyOptions) {
  const { dtype, folder, isJson, text, threads: intraOpNumThreads } = options
  const { target } = yield* Engine.encoder({ folder, dtype, intraOpNumThreads, batchTextsMax: 1 })
  if (target.describe.labels.length === 0) {
    const [vector = []] = yield* target.embed([text])
    yield* output.print([isJson ? JSON.stringify({ vector }) : vector.map((each) => each.toFixed(DIGITS)).join(" ")])
    return
  }
  const [found] = yield* target.classify([text])
  if (isJson) return yield* output.print([JSON.stringify(found)])
  const rows = (found?.scores ?? []).slice(0, SHOWN_MAX).map(({ label, score }) => [label, score.toFixed(DIGITS)])
  yield* output.print(formatColumns(rows))
})
