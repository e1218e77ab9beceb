/**
 * The boundary between a beginning that a model has read and the bytes of its file: a checksum, a header that says whose it
 * is, and the keys and values as they lie in memory (little-endian, as on every machine that onnxruntime runs on). Pure.
 *
 *     8 bytes   magic and version
 *     32 bytes  SHA-256 of all that follows
 *     4 bytes   length of the header, little-endian
 *     header    JSON: weightsHash, layout, tokenIds
 *     rest      each buffer's [heads, tokens, headDim], one behind the other
 */
import { createHash } from "node:crypto"
import { Option, Schema } from "effect"
import { joinSegments, type KvSegment, type KvShape, makeKvNumbers } from "./KvSegment.ts"
import type { Path } from "./PrefixTree.ts"

const MAGIC = Buffer.from("PONTKV1\n", "latin1")
const SUM_BYTES = 32
/** Where the header begins. */
export const HEADER_FROM = MAGIC.length + SUM_BYTES + 4

/** Whose keys and values can be taken for each other: those of the same weights, in the same layout. */
export interface SpillIdentity {
  readonly weightsHash: string
  /** Of every buffer, and how tokens are read. */
  readonly layout: string
}

const Header = Schema.fromJsonString(
  Schema.Struct({ weightsHash: Schema.String, layout: Schema.String, tokenIds: Schema.Array(Schema.Int) }),
)
const decodeHeader = Schema.decodeUnknownOption(Header)

export const layoutOf = (shapes: ReadonlyArray<KvShape>, alignTokens: number): string =>
  [...shapes.map(({ headDim, heads, type }) => `${type}:${heads}x${headDim}`), `align:${alignTokens}`].join()

/** A name that says nothing of what was said, and is the same for the same tokens. */
export const spillName = (identity: SpillIdentity, tokenIds: ReadonlyArray<number>): string =>
  `${createHash("sha256")
    .update(JSON.stringify([identity.weightsHash, identity.layout, tokenIds]))
    .digest("hex")}.kv`

const bytesOf = (buffer: KvSegment["buffers"][number]): Uint8Array =>
  new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)

/** The pieces of a file, to be written one behind the other; undefined of nothing. */
export const encodeSpill = (identity: SpillIdentity, path: Path): ReadonlyArray<Uint8Array> | undefined => {
  const segment = joinSegments(path.segments)
  if (segment === undefined) return undefined
  const header = Buffer.from(JSON.stringify({ ...identity, tokenIds: path.tokenIds }), "utf8")
  const length = Buffer.alloc(4)
  length.writeUInt32LE(header.length)
  const rest = [length, header, ...segment.buffers.map(bytesOf)]
  const sum = createHash("sha256")
  for (const piece of rest) sum.update(piece)
  return [MAGIC, sum.digest(), ...rest]
}

/** Of a file's first `HEADER_FROM` bytes, where its header ends; undefined where it is none of ours. */
export const headerEnd = (head: Uint8Array): number | undefined => {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  if (bytes.length < HEADER_FROM || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined
  return HEADER_FROM + bytes.readUInt32LE(HEADER_FROM - 4)
}

/** The tokens that a header names; undefined where it is damaged, or of other weights or another layout. */
export const readHeader = (identity: SpillIdentity, header: Uint8Array): ReadonlyArray<number> | undefined => {
  const found = Option.getOrUndefined(decodeHeader(Buffer.from(header).toString("utf8")))
  if (found?.weightsHash !== identity.weightsHash || found.layout !== identity.layout) return undefined
  return found.tokenIds
}

/** A whole file, read back; undefined where it is damaged, cut off, or another's. */
export const decodeSpill = (
  identity: SpillIdentity,
  shapes: ReadonlyArray<KvShape>,
  file: Uint8Array,
): Path | undefined => {
  const end = headerEnd(file)
  if (end === undefined || end > file.length) return undefined
  const sum = createHash("sha256")
    .update(file.subarray(MAGIC.length + SUM_BYTES))
    .digest()
  if (!sum.equals(file.subarray(MAGIC.length, MAGIC.length + SUM_BYTES))) return undefined
  const tokenIds = readHeader(identity, file.subarray(HEADER_FROM, end))
  if (tokenIds === undefined) return undefined
  let at = end
  const buffers = shapes.map(({ headDim, heads, type }) => {
    const buffer = makeKvNumbers(type, heads * headDim * tokenIds.length)
    bytesOf(buffer).set(file.subarray(at, at + buffer.byteLength))
    at += buffer.byteLength
    return buffer
  })
  return at === file.length ? { tokenIds, segments: [{ length: tokenIds.length, shapes, buffers }] } : undefined
}
