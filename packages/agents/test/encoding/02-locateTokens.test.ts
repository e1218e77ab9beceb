/** Where tokens stand in a text, whatever the tokenizer did to it on the way. */
import { Effect, Result } from "effect"
import { describe, expect, it } from "vitest"
import { readModelFolder } from "../../src/inference/folder/modelFolder.ts"
import { locateBytes, locatePieces } from "../../src/inference/text/locateTokens.ts"
import { makeModelTokenizer } from "../../src/inference/text/ModelTokenizer.ts"
import { fixture } from "../support/engines.ts"

const open = async (name: string) => {
  const folder = await Effect.runPromise(readModelFolder("m", fixture(name), "auto"))
  return Result.getOrThrow(makeModelTokenizer(folder, undefined))
}
const isUnknown = (token: string) => token === "[UNK]"
const cut = (text: string, places: ReadonlyArray<{ readonly start: number; readonly end: number } | undefined>) =>
  places.map((place) => (place === undefined ? undefined : text.slice(place.start, place.end)))

describe("pieces", () => {
  it("are found over case, accents and blanks", () => {
    const text = "  Héllo,  WORLD "
    expect(cut(text, locatePieces(text, ["hel", "##lo", ",", "world"], isUnknown))).toEqual(["Hél", "lo", ",", "WORLD"])
    expect(cut(text, locatePieces(text, ["▁Héllo", ",", "▁", "▁WORLD"], isUnknown))).toEqual([
      "Héllo",
      ",",
      "",
      "WORLD",
    ])
    expect(cut("lower case", locatePieces("lower case", ["lo", "wer</w>", "case</w>"], isUnknown))).toEqual([
      "lo",
      "wer",
      "case",
    ])
  })
  it("that say nothing stand for the next word or sign", () => {
    const text = "my 😡 größte! card"
    const tokens = ["my", "[UNK]", "[UNK]", "!", "card"]
    expect(cut(text, locatePieces(text, tokens, isUnknown))).toEqual(["my", "😡", "größte", "!", "card"])
  })
  it("that are nowhere to be found are empty, and lose nobody behind them", () => {
    const text = "one two three"
    expect(cut(text, locatePieces(text, ["one", "zwei", "two", "three", "four"], isUnknown))).toEqual([
      ...["one", "", "two", "three", ""],
    ])
    expect(locatePieces("", ["a", "[UNK]"], isUnknown)).toEqual([
      { start: 0, end: 0 },
      { start: 0, end: 0 },
    ])
  })
})

describe("bytes", () => {
  it("are counted off, blanks apart, also where a character is several tokens", () => {
    const text = "le café ☕!"
    // é is C3 A9; ☕ is E2 98 95, here in two tokens.
    const tokens = ["le", "Ġcaf", "Ã©", "Ġâĺ", "ķ", "!"]
    expect(cut(text, locateBytes(text, tokens))).toEqual(["le", "caf", "é", "☕", "☕", "!"])
    expect(cut("hi", locateBytes("hi", ["Ġhi"]))).toEqual(["hi"])
    expect(locateBytes("", ["x"])).toEqual([{ start: 0, end: 0 }])
  })
})

describe("a tokenizer's tokens", () => {
  it.each(["tiny-tagger", "tiny-decoder"])("of %s are all found, and together are the text", async (name) => {
    const tokenizer = await open(name)
    const texts = [
      "Where is my order?",
      "the CARD is not working!!",
      "a  large\tcoffee",
      "[SEP] <|end|> 42",
      "é x",
      "Größe ☕",
      "",
    ]
    for (const text of texts) {
      const tokenIds = tokenizer.encode(text)
      const places = tokenizer.locate(text, tokenIds)
      expect(places).toHaveLength(tokenIds.length)
      let before = 0
      let found = ""
      for (const place of places) {
        if (place === undefined) continue
        expect(place.end).toBeGreaterThanOrEqual(before)
        found += text.slice(Math.max(before, place.start), place.end)
        before = Math.max(before, place.end)
      }
      expect(found.replaceAll(/\s/g, "")).toBe(text.replaceAll(/\s/g, ""))
    }
  })
})
