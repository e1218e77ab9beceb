import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { joinByDesk, PARTS_MAX, splitRequests } from "../src/integrator/splitRequests.ts"

describe("splitting a message", () => {
  it("1. gives one part for what has none, and for what is only greeting", () => {
    expect(splitRequests("")).toEqual([""])
    expect(splitRequests(" ?! ")).toEqual(["?!"])
    expect(splitRequests("hi. thanks!")).toEqual(["hi. thanks!"])
  })
  it("2. keeps the rest in the last part past the bound", () => {
    const text = Array.from({ length: PARTS_MAX + 3 }, (_, index) => `Request number ${index}.`).join(" ")
    const parts = splitRequests(text)
    expect(parts).toHaveLength(PARTS_MAX)
    expect(parts.join(" ")).toBe(text)
    expect(splitRequests(text, 1)).toEqual([text])
  })
  it("3. takes no time over a message at the size limit, whatever it is made of", () => {
    for (const piece of [" ", "\n", " \n", "and ", "; ", "e.g. ", "also ", ".", "and why ", "hi "]) {
      expect(splitRequests(piece.repeat(Math.ceil(2 ** 20 / piece.length))).length).toBeLessThanOrEqual(PARTS_MAX)
    }
  })
  it.each([
    ["latte pls, and why was my card declined there?", ["latte pls", "why was my card declined there?"]],
    [
      "my top up failed again; can i at least get an iced coffee",
      ["my top up failed again", "can i at least get an iced coffee"],
    ],
    [
      "hey what is the weather like in oslo. and what's the rate?",
      ["hey what is the weather like in oslo.", "what's the rate?"],
    ],
    [
      "Two things: I'd like a medium mocha to go. Also, $AMD jumps 9%, good or bad?",
      ["Two things: I'd like a medium mocha to go.", "$AMD jumps 9%, good or bad?"],
    ],
    [
      "flat white\nmy pin is blocked btw how late are you open",
      ["flat white", "my pin is blocked", "how late are you open"],
    ],
    ["Steel is down 11%. Oh and how do I freeze my card?", ["Steel is down 11%.", "how do I freeze my card?"]],
  ])("4. splits %j", (text, parts) => {
    expect(splitRequests(text)).toEqual(parts)
  })
  it.each([
    "a latte and a muffin",
    "theres a 3.40 fee on my statement",
    "decaf, e.g. the one from last week",
    "hi. can i get a mocha",
    "one espresso. thx!",
    "$TSLA beats Q3 estimates, shares up 6% in late trading",
  ])("5. leaves %j whole", (text) => {
    expect(splitRequests(text)).toEqual([text])
  })
  it("6. loses no word but the connectives, whatever it is given", () => {
    const piece = fc.oneof(
      fc.constantFrom("latte", "and why", "also", ". ", "; ", "\n", "? ", "btw", "my card", "hi", "…"),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const text = pieces.join(" ")
        const parts = splitRequests(text)
        expect(parts.length).toBeGreaterThan(0)
        expect(parts.length).toBeLessThanOrEqual(PARTS_MAX)
        if (text.trim() !== "") for (const part of parts) expect(part.trim()).not.toBe("")
        const latte = (words: string) => words.split(/\W+/).filter((word) => word === "latte").length
        expect(latte(parts.join(" "))).toBe(latte(text))
      }),
      { seed: 3, numRuns: 300 },
    )
  })
})

describe("joining parts by desk", () => {
  const coffee = (text: string) => ({ desk: "coffee", text })
  const banking = (text: string) => ({ desk: "banking", text })
  const other = (text: string) => ({ desk: "other", text })

  it("7. joins neighbours of one desk and keeps the order of the rest", () => {
    expect(joinByDesk([coffee("a mocha."), coffee("large."), banking("pin?"), coffee("and a tea")])).toEqual([
      coffee("a mocha. large."),
      banking("pin?"),
      coffee("and a tea"),
    ])
  })
  it("8. takes chatter along with the request beside it", () => {
    expect(joinByDesk([other("lovely day."), other("right?"), coffee("a tea"), other("cheers mate")])).toEqual([
      coffee("lovely day. right? a tea cheers mate"),
    ])
    expect(joinByDesk([other("tell me"), other("a joke")])).toEqual([other("tell me a joke")])
    expect(joinByDesk([])).toEqual([])
  })
})
