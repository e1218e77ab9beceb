/** The boundary between tests and formats without a model: a vocabulary made by hand, and answers drawn at random. */
import { Result } from "effect"
import type { AnswerFormat } from "../../src/index.ts"
import { type FormatCompiler, makeFormatCompiler } from "../../src/inference/grammar/FormatCompiler.ts"
import { type CompiledFormat, FormatMatcher } from "../../src/inference/grammar/FormatMatcher.ts"
import { uniformAt } from "../../src/inference/sampling/uniformAt.ts"

export const END = 0
const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true })

/** Every byte alone, and pieces as models have them. */
const bytesOf: ReadonlyArray<Uint8Array | undefined> = [
  undefined,
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...[
    '{"',
    '":',
    '": "',
    '", "',
    '"}',
    "[]",
    "[[[[",
    "}}",
    "true",
    "null",
    "123",
    "00",
    "-1",
    "e",
    "é",
    "😀",
    " the",
    "a b",
    '\\"',
    "\\u00",
    "aaaa",
  ].map((piece) => encoder.encode(piece)),
]
export const vocabSize = bytesOf.length

export const compiler: FormatCompiler = makeFormatCompiler({
  bytesOf: () => Result.succeed(bytesOf),
  endTokenIds: new Set([END]),
})

export const compile = (format: AnswerFormat, tokensMax = 4096): CompiledFormat =>
  Result.getOrThrow(compiler.compile(format, tokensMax))

export const refusal = (format: AnswerFormat, tokensMax = 4096): string => {
  const compiled = compiler.compile(format, tokensMax)
  return Result.isFailure(compiled) ? compiled.failure : "it was taken"
}

/** Whether a text is one of the format's, by its bytes alone. */
export const accepts = (format: CompiledFormat, text: string): boolean => {
  const matcher = new FormatMatcher(format)
  for (const byte of encoder.encode(text)) if (!matcher.take(byte + 1)) return false
  return matcher.take(END)
}

export interface Written {
  readonly text: string
  readonly tokenIds: ReadonlyArray<number>
  readonly ended: boolean
}

/** What a model without any opinion writes; `greed` tokens in a hundred are long pieces where such are allowed. */
export const writeAtRandom = (format: CompiledFormat, tokensMax: number, seed: number): Written => {
  const matcher = new FormatMatcher(format)
  const tokenIds: Array<number> = []
  const bytes: Array<number> = []
  for (let position = 0; position < tokensMax; position++) {
    const mask = matcher.allowed()
    const ids = Array.from({ length: vocabSize }, (_, id) => id).filter(
      (id) => (mask[id >> 5]! & (1 << (id & 31))) !== 0,
    )
    // It would rather go on than end: the worst of models.
    const going = ids.filter((id) => id !== END)
    const from = going.length > 0 ? going : ids
    const drawn = from[Math.floor(uniformAt(seed, position) * from.length)] ?? -1
    const tokenId = matcher.choose(drawn, tokensMax - position)
    if (!matcher.take(tokenId)) throw new Error(`token ${tokenId} at ${position} does not fit`)
    tokenIds.push(tokenId)
    if (tokenId === END) return { text: decoder.decode(Uint8Array.from(bytes)), tokenIds, ended: true }
    bytes.push(...bytesOf[tokenId]!)
  }
  return { text: new TextDecoder().decode(Uint8Array.from(bytes)), tokenIds, ended: false }
}
