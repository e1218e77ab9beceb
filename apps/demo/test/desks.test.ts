import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parse } from "csv-parse/sync"
import { describe, expect, it } from "vitest"
import { answerIntent } from "../src/banking/answerIntent.ts"
import { helpTexts, intentInWords } from "../src/banking/helpTexts.ts"
import { describeSentiment, findTickers, sentimentOf } from "../src/finance/describeSentiment.ts"
import { hasSharedData, NO_DATA, readSharedData } from "./sharedData.ts"

const config = fileURLToPath(new URL("../models/banking-intent/config.json", import.meta.url))

describe("the banking desk", () => {
  it("1. answers an unknown intent with a way to a person", () => {
    for (const intent of ["mortgage", "toString", "__proto__"]) {
      expect(answerIntent(intent, 0.9).text).toBe(
        `I am passing this on to a person: I have no help text for "${intent}" (90 %).`,
      )
    }
  })
  it("2. has 77 help texts, all different, of one to three sentences", () => {
    const texts = Object.values(helpTexts)
    expect(texts).toHaveLength(77)
    expect(new Set(texts).size).toBe(77)
    for (const text of texts) {
      expect(text).toMatch(/^[A-Z].{40,230}\.$/)
      expect(text.match(/[.?!](\s|$)/g)!.length).toBeLessThanOrEqual(3)
    }
  })
  it("3. has a help text for every category of the data set, and for nothing else", (context) => {
    if (!hasSharedData) context.skip(NO_DATA)
    const rows: ReadonlyArray<ReadonlyArray<string>> = ["train", "test"].flatMap((part) =>
      parse(readSharedData(`intent/banking77_${part}.csv`), { from_line: 2 }),
    )
    expect(Object.keys(helpTexts).sort()).toEqual([...new Set(rows.map((row) => row[1]))].sort())
  })
  it("4. has a help text for every label of the model", (context) => {
    if (!existsSync(config)) context.skip("apps/demo/models/banking-intent/config.json is not there")
    const { id2label }: { readonly id2label: Readonly<Record<string, string>> } = JSON.parse(
      readFileSync(config, "utf8"),
    )
    expect(Object.values(id2label).sort()).toEqual(Object.keys(helpTexts).sort())
  })
  it("5. gives intent and confidence with the text, and says where it guesses", () => {
    expect(answerIntent("pin_blocked", 0.934).text).toBe(`${helpTexts.pin_blocked} (pin_blocked, 93 %)`)
    expect(answerIntent("reverted_card_payment?", 0.31).text).toMatch(
      /^I think this is about "reverted card payment"\. .* \(reverted_card_payment\?, 31 %\)$/,
    )
    expect(intentInWords("Refund_not_showing_up")).toBe("refund not showing up")
  })
})

describe("the finance desk", () => {
  it("6. reads labels by number and by name, and no others", () => {
    expect(["0", "1", "2", "bullish"].map(sentimentOf)).toEqual(["bearish", "bullish", "neutral", "bullish"])
    expect(["3", "", "-1", "Bullish"].map(sentimentOf)).toEqual([undefined, undefined, undefined, undefined])
  })
  it("7. finds tickers and no sums", () => {
    expect(findTickers("$tsla and $TSLA at $50, $BRK.B up, US$ weak, $TOOLONGX")).toEqual(["$TSLA", "$BRK.B"])
  })
  it("8. words a reading", () => {
    expect(describeSentiment("$TSLA beats", "bullish", 0.931)).toBe("Good news for $TSLA (bullish, 93 %).")
    expect(describeSentiment("Copper slides", "bearish", 0.55)).toBe("Rather bad news (bearish, 55 %).")
    expect(describeSentiment("$A $B $C $D $E", "neutral", 0.8)).toBe(
      "Neither good nor bad news for $A, $B, $C, $D and others (neutral, 80 %).",
    )
  })
})
