import { readFileSync } from "node:fs"
import { Tokenizer } from "@huggingface/tokenizers"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { makeDetokenizer } from "../src/inference/text/Detokenizer.ts"

const read = (file: string): object =>
  JSON.parse(readFileSync(new URL(`fixtures/tiny-decoder/${file}`, import.meta.url), "utf8"))
const byteLevel = new Tokenizer(read("tokenizer.json"), read("tokenizer_config.json"))

/** A tokenizer in the manner of SentencePiece: blanks are part of tokens, the first one's is dropped, bytes fall back. */
const metaspace = new Tokenizer(
  {
    added_tokens: [
      { id: 0, content: "<s>", special: true, normalized: false, lstrip: false, rstrip: false, single_word: false },
    ],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      byte_fallback: true,
      merges: [],
      vocab: Object.fromEntries(
        [
          "<s>",
          ...Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`),
          "▁",
          "▁the",
          "▁a",
          "b",
          "é",
        ].map((token, id) => [token, id]),
      ),
    },
  },
  {},
)

const streamed = (tokenizer: Tokenizer, ids: ReadonlyArray<number>) => {
  const decode = (tokenIds: ReadonlyArray<number>) =>
    tokenIds.length === 0
      ? ""
      : tokenizer.decode([...tokenIds], { skip_special_tokens: true, clean_up_tokenization_spaces: false })
  const special = new Set([...tokenizer.get_added_tokens_decoder().keys()])
  const detokenizer = makeDetokenizer(decode, (id) => special.has(id))
  const pieces = ids.map((id) => detokenizer.push(id))
  return { pieces: [...pieces, detokenizer.end()], whole: decode(ids) }
}

describe.each([
  { name: "byte-level BPE", tokenizer: byteLevel, vocabSize: byteLevel.get_vocab().size },
  { name: "SentencePiece with byte fallback", tokenizer: metaspace, vocabSize: metaspace.get_vocab().size },
])("makeDetokenizer on $name", ({ tokenizer, vocabSize }) => {
  it("gives in pieces what decoding everything gives, for any tokens", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: vocabSize - 1 }), { maxLength: 60 }), (ids) => {
        const { pieces, whole } = streamed(tokenizer, ids)
        expect(pieces.join("")).toBe(whole)
      }),
      { numRuns: 500 },
    )
  })

  it("never gives half a character", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 30 }), (text) => {
        // Bytes of the text, in the ids that the two fixtures give to bytes.
        const first = tokenizer === metaspace ? 1 : 6
        const ids = [...new TextEncoder().encode(text)].map((byte) => first + byte)
        const { pieces } = streamed(tokenizer, ids)
        for (const piece of pieces) {
          expect(piece.isWellFormed()).toBe(true)
          if (!text.includes("\uFFFD")) expect(piece).not.toContain("\uFFFD")
        }
        expect(pieces.join("")).toBe(tokenizer === metaspace ? text.replace(/^ /, "") : text)
      }),
    )
  })
})
