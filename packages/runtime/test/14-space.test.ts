/** The numbers of a handler's acts: one each, whatever is beside or within what, and in an order that can be read off them. */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { byPlace, endOrdinal, journalOf, pathOf, Space, undoOrdinal } from "../src/life/journal/Space.ts"

/** Acts in the order of a handler, each with what is within it. */
type Acts = ReadonlyArray<Acts>

/** One level deeper than there is room. */
const acts = Array.from({ length: 5 }).reduce<fc.Arbitrary<Acts>>(
  (within) => fc.array(within, { maxLength: 4 }),
  fc.constant([]),
)

/** Numbers every act as a journal does, down to where there is no room. */
const number = (space: Space, list: Acts, found: Array<number>): void => {
  for (const within of list) {
    const ordinal = space.take()
    if (ordinal === undefined) return
    found.push(ordinal)
    number(space.within(ordinal, true), within, found)
  }
}

describe("1 numbers", () => {
  it("1.1 are different ones, ascend in the tree's order, and say where they are", () => {
    fc.assert(
      fc.property(acts, fc.integer({ min: 0, max: 899 }), (list, journal) => {
        const found: Array<number> = []
        number(Space.root(journal), list, found)
        expect(new Set(found).size).toBe(found.length)
        expect(found.toSorted(byPlace)).toEqual(found)
        expect(new Set(found.map((ordinal) => pathOf(ordinal).join("/"))).size).toBe(found.length)
        for (const ordinal of found) {
          expect(Number.isSafeInteger(ordinal)).toBe(true)
          expect([ordinal, undoOrdinal(ordinal)].map(journalOf)).toEqual([journal, journal])
        }
        expect(journalOf(endOrdinal(journal))).toBe(journal)
      }),
    )
  })
  it("1.2 are the same where what is beside an act is another", () => {
    const first = Space.root(0)
    const branches = [first.take(), first.take()] as [number, number]
    const [left, right] = branches.map((ordinal) => first.within(ordinal, true)) as [Space, Space]
    for (let times = 0; times < 5; times++) left.take()
    expect([right.take(), right.take()].map((ordinal) => pathOf(ordinal ?? -1))).toEqual([
      [1, 0],
      [1, 1],
    ])
  })
  it("1.3 of a compensation, and of what it does, are nobody else's", () => {
    const root = Space.root(0)
    const ordinal = root.take() ?? -1
    const within = root.within(ordinal, true)
    const undoing = root.undoing(ordinal)
    const taken = Array.from({ length: 1_000 }, () => [within.take(), undoing.take()]).flat()
    expect(new Set([ordinal, ...taken]).size).toBe(2_001)
    expect(undoing.undo).toBe(false)
  })
  it("1.4 end: a space gives as many as it has, and no room past the third level", () => {
    let space = Space.root(899)
    for (let depth = 0; depth < 3; depth++) space = space.within(space.take() ?? -1, true)
    const last = Array.from({ length: 51 }, () => space.take())
    expect(last.slice(0, 50).every((ordinal) => ordinal !== undefined)).toBe(true)
    expect(last[50]).toBe(undefined)
    const deeper = Space.root(0)
    let inner = deeper
    for (let depth = 0; depth < 3; depth++) inner = inner.within(inner.take() ?? -1, true)
    expect(inner.range(inner.take() ?? -1)).toBe(undefined)
    expect(inner.within(inner.take() ?? -1, true).take()).toBe(undefined)
  })
})
