import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { makeStopMatcher } from "../src/inference/text/stop.ts"

/** Pushes the pieces until it stops; everything given out, and whether it stopped. */
const run = (stops: ReadonlyArray<string>, pieces: ReadonlyArray<string>) => {
  const matcher = makeStopMatcher(stops)
  let text = ""
  for (const piece of pieces) {
    const fresh = matcher.push(piece)
    text += fresh.text
    if (fresh.stopped) return { text, stopped: true }
  }
  return { text: text + matcher.end(), stopped: false }
}

const cutAt = (text: string, cuts: ReadonlyArray<number>): ReadonlyArray<string> => {
  const places = [0, ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b), text.length]
  return places.slice(1).map((end, index) => text.slice(places[index]!, end))
}
const letters = (constraints: fc.StringConstraints) =>
  fc.string({ unit: fc.constantFrom("a", "b", "c"), ...constraints })

describe("makeStopMatcher", () => {
  it("ends before a stop string that lies across three pieces", () => {
    expect(run(["\nUser:"], ["Sure.\n", "Us", "er: no"])).toEqual({ text: "Sure.", stopped: true })
  })

  it("gives out what only looked like the beginning of a stop string", () => {
    expect(run(["abcd"], ["xab", "cx"])).toEqual({ text: "xabcx", stopped: false })
    expect(run(["abcd"], ["abc"])).toEqual({ text: "abc", stopped: false })
  })

  it("holds back no more than the longest stop string less one character", () => {
    fc.assert(
      fc.property(
        fc.array(letters({ minLength: 1, maxLength: 6 }), { maxLength: 4 }),
        letters({ maxLength: 40 }),
        (stops, text) => {
          const matcher = makeStopMatcher(stops)
          const fresh = matcher.push(text)
          if (fresh.stopped) return
          const longest = Math.max(1, ...stops.map((stop) => stop.length))
          expect(text.length - fresh.text.length).toBeLessThan(longest)
        },
      ),
    )
  })

  it("does not depend on where the pieces end", () => {
    fc.assert(
      fc.property(
        fc.array(letters({ minLength: 1, maxLength: 4 }), { maxLength: 4 }),
        letters({ maxLength: 40 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        (stops, text, cuts) => {
          expect(run(stops, cutAt(text, cuts))).toEqual(run(stops, [text]))
        },
      ),
    )
  })

  it("gives out the text up to the stop string that is complete first, and never one of them", () => {
    fc.assert(
      fc.property(
        fc.array(letters({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 }),
        letters({ maxLength: 40 }),
        (stops, text) => {
          const found = run(stops, [text])
          for (const stop of stops) expect(found.text).not.toContain(stop)
          expect(text.startsWith(found.text)).toBe(true)
          expect(found.stopped).toBe(stops.some((stop) => text.includes(stop)))
        },
      ),
    )
  })
})
