/**
 * The boundary between a vocabulary and the bytes that its tokens are: what a matcher of texts has to know of a token. Pure.
 *
 * tokenizer.json says by its decoder how tokens spell: as GPT-2's characters for bytes (ByteLevel), with U+2581 for a blank and
 * <0x0A> for a byte (SentencePiece), or as they are. WordPiece's `##` depends on the neighbour, so it has no bytes of its own.
 */
import { Option, Result, Schema } from "effect"

const Part = Schema.Struct({ type: Schema.String })
const Shape = Schema.Struct({
  decoder: Schema.NullOr(Schema.Struct({ type: Schema.String, decoders: Schema.optionalKey(Schema.Array(Part)) })),
})
const decodeShape = Schema.decodeUnknownOption(Shape)

/** GPT-2's table: printable Latin-1 stands for itself, the rest of the bytes follow from U+0100 on. */
const byteOfCharacter = (): ReadonlyMap<string, number> => {
  const table = new Map<string, number>()
  let next = 0x100
  for (let byte = 0; byte < 256; byte++) {
    const itself = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad)
    table.set(String.fromCodePoint(itself ? byte : next++), byte)
  }
  return table
}

const encoder = new TextEncoder()
const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/

const spellByteLevel = (): ((token: string) => Uint8Array | undefined) => {
  const table = byteOfCharacter()
  return (token) => {
    const bytes = Array.from(token, (character) => table.get(character))
    return bytes.includes(undefined) ? undefined : Uint8Array.from(bytes, (byte) => byte ?? 0)
  }
}

const spellSentencePiece = (token: string): Uint8Array => {
  const byte = BYTE_TOKEN.exec(token)?.[1]
  return byte === undefined ? encoder.encode(token.replaceAll("\u2581", " ")) : Uint8Array.of(Number.parseInt(byte, 16))
}

/**
 * How a vocabulary's tokens spell.
 *
 * @param rawTokenizer tokenizer.json
 * @returns a token's bytes, undefined where it has none; or why that cannot be known, in one clause
 */
export const tokenSpeller = (
  rawTokenizer: object,
): Result.Result<(token: string) => Uint8Array | undefined, string> => {
  const shape = Option.getOrUndefined(decodeShape(rawTokenizer))?.decoder
  const types = new Set([shape?.type, ...(shape?.decoders ?? []).map(({ type }) => type)])
  if (types.has("WordPiece") || types.has("CTC") || types.has("BPEDecoder")) {
    return Result.fail(`how its tokens read depends on their neighbours (decoder ${[...types].join(", ")})`)
  }
  if (types.has("ByteLevel")) return Result.succeed(spellByteLevel())
  if (types.has("ByteFallback") || types.has("Metaspace") || types.has("Replace"))
    return Result.succeed(spellSentencePiece)
  return Result.succeed((token) => encoder.encode(token))
}
