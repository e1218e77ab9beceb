/**
 * The boundary between a model of 32-bit floats on the disk and a smaller one beside it: what speaks against it, in one
 * sentence, and otherwise the new file.
 */
import { mkdirSync } from "node:fs"
import { dirname } from "node:path"
import { Effect, Schema } from "effect"
import { oneLine } from "../inference/folder/modelFailure.ts"
import { ELEMENT } from "../inference/graph/onnxFields.ts"
import { type Findings, findProducts } from "./findProducts.ts"
import { type OnnxFile, readOnnxFile } from "./OnnxFile.ts"
import { type QuantizeRules, quantizeGraph } from "./quantizeGraph.ts"
import { INLINE_BYTES_MAX, type WrittenFile, writeOnnx } from "./writeOnnx.ts"

/** A model that cannot be made smaller, or not here; the message says what to do. */
export class TerminalQuantizationRefused extends Schema.TaggedError<TerminalQuantizationRefused>()(
  "TerminalQuantizationRefused",
  { message: Schema.String },
) {}

const refuse = (message: string) => new TerminalQuantizationRefused({ message })

export interface QuantizePlan {
  /** The model of 32-bit floats. */
  readonly from: string
  /** The file to write; it is replaced. */
  readonly to: string
  readonly rules: QuantizeRules
  /** Larger models have their weights in a file beside them. Default 2 GiB less 1 MiB, which is protobuf's limit. */
  readonly inlineBytesMax?: number
}

export interface QuantizeReport {
  /** Products whose weights are smaller now. */
  readonly products: number
  /** Tables of word vectors that are smaller now. */
  readonly tables: number
  readonly bytesBefore: number
  readonly bytesAfter: number
  readonly files: ReadonlyArray<WrittenFile>
}

/** DynamicQuantizeLinear came with it; what exporters of the last five years write is 13 to 21. */
const OPSET_MIN = 11

const mistakeIn = (file: OnnxFile, findings: Findings): string | undefined => {
  const { otherTypes, products, quantised } = findings
  if (quantised.length > 0) {
    return `${file.path} is quantised already (it has ${quantised.join(", ")}); start from the model of 32-bit floats.`
  }
  const opset = file.opsets.get("") ?? 0
  if (opset < OPSET_MIN) return `${file.path} is of operator set ${opset}; export it again with ${OPSET_MIN} or later.`
  if (products.length > 0) return undefined
  // Weights of 16 bits may be widened by a node of their own, so that no product has them at first hand.
  const isHalf = [...file.tensors.values()].some(
    ({ dims, elementType }) => elementType === ELEMENT.float16 && dims.length === 2,
  )
  if (isHalf || otherTypes.size > 0) {
    return `The weights of ${file.path} are ${isHalf ? "16-bit" : "no 32-bit"} floats; start from the model of 32-bit floats.`
  }
  return `${file.path} has no MatMul or Gemm with weights in it, so nothing would get smaller.`
}

const attempt = <A>(what: string, run: () => A) =>
  Effect.try({ try: run, catch: (cause) => refuse(`${what}: ${oneLine(cause)}.`) })

/**
 * Writes the smaller model. One weight is in memory at a time.
 *
 * @returns fails with `TerminalQuantizationRefused`: no ONNX model, quantised already, nothing to quantise, no 32-bit
 * floats, or the disk
 */
export const quantizeModel = Effect.fnUntraced(function* (plan: QuantizePlan) {
  const { from, rules, to } = plan
  const file = yield* attempt(`${from} cannot be read as an ONNX model`, () => readOnnxFile(from))
  const findings = findProducts(file)
  const mistake = mistakeIn(file, findings)
  if (mistake !== undefined) return yield* refuse(mistake)
  const files = yield* attempt(`${to} cannot be written`, () => {
    mkdirSync(dirname(to), { recursive: true })
    return writeOnnx(quantizeGraph(file, findings, rules), to, plan.inlineBytesMax ?? INLINE_BYTES_MAX)
  })
  return {
    products: findings.products.length,
    tables: rules.embeddings === "int8" ? findings.lookUps.length : 0,
    bytesBefore: file.bytes,
    bytesAfter: files.reduce((sum, { bytes }) => sum + bytes, 0),
    files,
  } satisfies QuantizeReport
})
