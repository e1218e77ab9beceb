/** The map of the messages of the moment, against a Map. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { IdMap } from "../src/life/IdMap.ts"

type Act = readonly [act: "set" | "delete" | "get", id: string]

describe("a map of ids", () => {
  it("knows nothing of what was never in it", () => {
    const map = new IdMap<number>()
    expect([map.get("a"), map.has("a"), map.delete("a"), map.size, [...map.values()]]).toEqual([
      undefined,
      false,
      false,
      0,
      [],
    ])
  })

  it("is like a Map for random acts on ids that fall together", () => {
    // Few ids, a child among them, so that they meet, and 200 of them, so that it grows and closes its holes.
    const id = fc.oneof(
      fc.nat(200).map((n) => `01JD0000000000000000000${String(n).padStart(3, "0")}`),
      fc.tuple(fc.nat(9), fc.nat(9)).map(([parent, ordinal]) => `01JD000000000000000000000${parent}.${ordinal}`),
      fc.constantFrom("", "x", "é/ø"),
    )
    const acts: fc.Arbitrary<ReadonlyArray<Act>> = fc.array(
      fc.tuple(fc.constantFrom("set", "set", "delete", "get"), id),
      { maxLength: 600 },
    )
    fc.assert(
      fc.property(acts, (all) => {
        const map = new IdMap<number>()
        const model = new Map<string, number>()
        all.forEach(([act, key], nth) => {
          if (act === "set") {
            map.set(key, nth)
            model.set(key, nth)
          } else if (act === "delete") expect(map.delete(key)).toBe(model.delete(key))
          else expect([map.get(key), map.has(key)]).toEqual([model.get(key), model.has(key)])
        })
        expect(map.size).toBe(model.size)
        expect([...map.ids()].sort()).toEqual([...model.keys()].sort())
        expect([...map.values()].sort((a, b) => a - b)).toEqual([...model.values()].sort((a, b) => a - b))
        for (const [key, value] of model) expect(map.get(key)).toBe(value)
      }),
      { numRuns: 200 },
    )
  })

  it("holds a hundred thousand, and nothing after they have gone", () => {
    const map = new IdMap<number>()
    const ids = Array.from({ length: 100_000 }, (_, n) => `01JD${String(n).padStart(22, "0")}`)
    for (const [n, id] of ids.entries()) map.set(id, n)
    expect([map.size, map.get(ids[70_000]!)]).toEqual([100_000, 70_000])
    for (const id of ids) map.delete(id)
    expect([map.size, map.get(ids[70_000]!), [...map.ids()]]).toEqual([0, undefined, []])
  })
})
