/**
 * The boundary between a handler's acts and their numbers. Every act has a number that finds it again when the handler is
 * run a second time, whoever was quicker the first time; so whatever runs beside something else counts for itself.
 *
 * A space is a range of numbers. The acts of a handler take 0, 1, 2 and so on of the root space. Each number of a space
 * also owns a range far above it, a block, for what runs inside it: act k of a space of the range [base, end) owns the
 * block of `span` numbers from `base + (k + 1) * span` on, and `span` is the size of blocks one level down. A branch takes
 * a number of its own, and counts in its block. So a number says where in the tree its act is, and nothing has to be
 * written for a branch to have its numbers.
 *
 * All are below 2^53, which is what a JSON number and a JavaScript one hold. Rejected: paths as text ("3.0.1"), which need
 * no bound, but another key for the table of steps, and a migration of every log.
 */
import { Context } from "effect"

/** Numbers in the root space and in a block at each depth: 900 journals a message, three levels of blocks in each. */
const SPANS = [1e13, 1e9, 1e5, 1e2] as const
const DEPTH_MAX = SPANS.length - 1

/** Whether steps may have compensations: not where a replay may pass over them, or they lose a race. */
type Undo = boolean

export class Space {
  readonly #base: number
  readonly #end: number
  readonly #depth: number
  readonly undo: Undo
  /** The number of the next act, from `base` on. */
  #next: number
  /** What keeps the space busy: a second act beside it would have a number by chance. */
  busy: string | undefined = undefined

  constructor(base: number, end: number, depth: number, undo: Undo, next = base) {
    this.#base = base
    this.#end = end
    this.#depth = depth
    this.undo = undo
    this.#next = next
  }

  /** The space of a handler's own acts. @param journal how many journals of the message are closed, 0 to 899 */
  static root(journal: number, taken = 0): Space {
    const base = journal * SPANS[0]
    return new Space(base, base + SPANS[0], 0, true, base + taken)
  }

  /** Takes the next number, or `count` of them and gives the first; undefined where there is none left. */
  take(count = 1): number | undefined {
    const limit = this.#depth < DEPTH_MAX ? Math.min(this.#base + this.#span, this.#end) : this.#end
    if (this.#next + count > limit) return undefined
    const taken = this.#next
    this.#next += count
    return taken
  }

  get #span(): number {
    return SPANS[this.#depth + 1] ?? 1
  }

  /** The range that number `ordinal` owns; undefined where there is no room: too deep, or too many before it. */
  range(ordinal: number): readonly [from: number, to: number] | undefined {
    const from = this.#base + (ordinal - this.#base + 1) * this.#span
    return this.#depth < DEPTH_MAX && from + this.#span <= this.#end ? [from, from + this.#span] : undefined
  }

  /** The space inside act `ordinal`: the lower half of its block. One without any number, where there is no room. */
  within(ordinal: number, undo: Undo): Space {
    const [from, to] = this.range(ordinal) ?? [0, 0]
    return new Space(from, (from + to) / 2, this.#depth + 1, undo && this.undo)
  }

  /** The space of the compensation of act `ordinal`: the upper half of its block. */
  undoing(ordinal: number): Space {
    const [from, to] = this.range(ordinal) ?? [0, 0]
    return new Space((from + to) / 2, to, this.#depth + 1, false)
  }
}

/** The number of the record that act `ordinal` was compensated. */
export const undoOrdinal = (ordinal: number): number => -1 - ordinal

/** The number of the record of how the message ends, once journal `journal` is compensated. */
export const endOrdinal = (journal: number): number => -(journal + 1) * SPANS[0]

/** Which journal of the message the number of an act, a compensation or an end belongs to. */
export const journalOf = (ordinal: number): number =>
  ordinal >= 0 ? Math.floor(ordinal / SPANS[0]) : Math.ceil(-ordinal / SPANS[0]) - 1

/** Where in the tree act `ordinal` is: its number in the root, then in the block of that, and so on. */
export const pathOf = (ordinal: number): ReadonlyArray<number> => {
  const path: Array<number> = []
  let rest = ordinal % SPANS[0]
  for (const span of SPANS.slice(1)) {
    const block = Math.floor(rest / span)
    if (block === 0) break
    path.push(block - 1)
    rest -= block * span
  }
  return [...path, rest]
}

/** Places in the tree, in the order in which a handler comes to them. */
export const byPlace = (a: number, b: number): number => {
  const [left, right] = [pathOf(a), pathOf(b)]
  const at = left.findIndex((number, index) => number !== right[index])
  return at < 0 ? left.length - right.length : (left[at] ?? 0) - (right[at] ?? -1)
}

/** The space that a fiber's acts are counted in, where it is not the root. */
export const CurrentSpace: Context.Reference<Space | undefined> = Context.Reference<Space | undefined>(
  "@pontoon/runtime/CurrentSpace",
  { defaultValue: () => undefined },
)
