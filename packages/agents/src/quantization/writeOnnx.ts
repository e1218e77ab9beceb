/**
 * The boundary to the disk for models that are made here: written piece by piece, so that no more than one weight is in
 * memory, and under their own name only when they are whole.
 */
import { createHash } from "node:crypto"
import { closeSync, fsyncSync, openSync, readSync, renameSync, rmSync, writeSync } from "node:fs"
import { basename } from "node:path"
import { encodeExternalTensor, encodeInlineTensor, type TensorSpec } from "../inference/graph/encodeOnnx.ts"
import { MODEL } from "../inference/graph/onnxFields.ts"
import { encodeHead } from "../inference/graph/protobuf.ts"
import type { Stretch } from "./OnnxFile.ts"

/** A weight that is computed, or read, when its turn comes. */
export interface WeightPart {
  readonly spec: TensorSpec
  readonly bytes: number
  readonly produce: () => Uint8Array
}

/** Part of a graph, in the order of the file. */
export type GraphPart = Uint8Array | Stretch | WeightPart

export interface ModelPlan {
  /** Besides the graph: copied as they are, and new fields. */
  readonly rest: ReadonlyArray<Uint8Array | Stretch>
  readonly graph: ReadonlyArray<GraphPart>
}

export interface WrittenFile {
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

/** Protobuf readers take no message beyond 2 GiB; some room is left for what they count differently. */
export const INLINE_BYTES_MAX = 2 ** 31 - 2 ** 20

/** Smaller weights stay in the model: shapes and axes are looked at before any file beside it is. */
const EXTERNAL_BYTES_MIN = 1024

/** Where weights begin in their file: what mapping one into memory asks for (4,096; onnx's own helper does the same). */
const ALIGNMENT = 4096

const COPY_BYTES = 1 << 22

const isWeight = (part: GraphPart): part is WeightPart => "produce" in part
const isStretch = (part: GraphPart): part is Stretch => "path" in part

/** Writes one file under a temporary name; `done` gives it its own. */
class NewFile {
  bytes = 0
  readonly path: string
  readonly #draft: string
  readonly #hash = createHash("sha256")
  #descriptor: number | undefined

  constructor(path: string) {
    this.path = path
    this.#draft = `${path}.part`
    this.#descriptor = openSync(this.#draft, "w")
  }

  write(bytes: Uint8Array): void {
    let done = 0
    while (done < bytes.length) done += writeSync(this.#descriptor ?? -1, bytes, done)
    this.#hash.update(bytes)
    this.bytes += bytes.length
  }

  copy(stretch: Stretch): void {
    const source = openSync(stretch.path, "r")
    const piece = Buffer.alloc(Math.min(COPY_BYTES, stretch.bytes))
    try {
      let done = 0
      while (done < stretch.bytes) {
        const wanted = Math.min(piece.length, stretch.bytes - done)
        const got = readSync(source, piece, 0, wanted, stretch.offset + done)
        if (got === 0) throw new RangeError(`${stretch.path} ends at byte ${stretch.offset + done}`)
        this.write(piece.subarray(0, got))
        done += got
      }
    } finally {
      closeSync(source)
    }
  }

  put(part: Uint8Array | Stretch): void {
    if (isStretch(part)) this.copy(part)
    else this.write(part)
  }

  close(): void {
    if (this.#descriptor === undefined) return
    fsyncSync(this.#descriptor)
    closeSync(this.#descriptor)
    this.#descriptor = undefined
  }

  done(): WrittenFile {
    this.close()
    renameSync(this.#draft, this.path)
    return { path: this.path, bytes: this.bytes, sha256: this.#hash.digest("hex") }
  }

  discard(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
    rmSync(this.#draft, { force: true })
  }
}

const sizeOf = (part: GraphPart): number =>
  isWeight(part)
    ? encodeInlineTensor(part.spec, part.bytes).length + part.bytes
    : isStretch(part)
      ? part.bytes
      : part.length

const writeInline = (file: NewFile, plan: ModelPlan): void => {
  for (const part of plan.rest) file.put(part)
  file.write(
    encodeHead(
      MODEL.graph,
      plan.graph.reduce((sum, part) => sum + sizeOf(part), 0),
    ),
  )
  for (const part of plan.graph) {
    if (!isWeight(part)) {
      file.put(part)
      continue
    }
    file.write(encodeInlineTensor(part.spec, part.bytes))
    const produced = part.produce()
    if (produced.length !== part.bytes) throw new RangeError(`${part.spec.name} has ${produced.length} bytes`)
    file.write(produced)
  }
}

const writeExternal = (file: NewFile, data: NewFile, plan: ModelPlan): void => {
  const location = basename(data.path)
  const parts: Array<Uint8Array | Stretch> = []
  for (const part of plan.graph) {
    if (!isWeight(part)) parts.push(part)
    else if (part.bytes < EXTERNAL_BYTES_MIN) parts.push(encodeInlineTensor(part.spec, part.bytes), part.produce())
    else {
      data.write(new Uint8Array((ALIGNMENT - (data.bytes % ALIGNMENT)) % ALIGNMENT))
      parts.push(encodeExternalTensor(part.spec, { location, offset: data.bytes, bytes: part.bytes }))
      data.write(part.produce())
    }
  }
  for (const part of plan.rest) file.put(part)
  file.write(
    encodeHead(
      MODEL.graph,
      parts.reduce((sum, part) => sum + sizeOf(part), 0),
    ),
  )
  for (const part of parts) file.put(part)
}

/**
 * Writes a model; where it would be larger than `inlineBytesMax`, its weights go to `PATH_data` beside it.
 *
 * @returns the files, the model's first
 */
export const writeOnnx = (
  plan: ModelPlan,
  path: string,
  inlineBytesMax = INLINE_BYTES_MAX,
): ReadonlyArray<WrittenFile> => {
  const total = plan.graph.reduce((sum, part) => sum + sizeOf(part), 0)
  const file = new NewFile(path)
  const data = total > inlineBytesMax ? new NewFile(`${path}_data`) : undefined
  try {
    if (data === undefined) {
      writeInline(file, plan)
      // Weights of a former, larger one would be taken for part of this.
      const written = file.done()
      rmSync(`${path}_data`, { force: true })
      return [written]
    }
    writeExternal(file, data, plan)
    file.close()
    // The weights first: a model without them is no model.
    const weights = data.done()
    return [file.done(), weights]
  } catch (error) {
    file.discard()
    data?.discard()
    throw error
  }
}
