/** The boundary of a JSON array's inside: how many items, of which kinds, separators between them. Pure. */
import { type Expression, optional, repeat, sequence, text } from "./Expression.ts"
import { COMMA } from "./jsonText.ts"

/**
 * @param prefix the first items, each of its own kind
 * @param item the kind of all further ones; undefined where there are none
 */
export const itemsOf = (
  prefix: ReadonlyArray<Expression>,
  item: Expression | undefined,
  min: number,
  max: number | undefined,
): Expression => {
  const [first, ...others] = prefix
  const further = (least: number, written: number): Expression =>
    item === undefined
      ? text("")
      : repeat(sequence(COMMA, item), Math.max(0, least - written), max === undefined ? undefined : max - written)
  if (first === undefined) {
    if (item === undefined) return text("")
    const some = sequence(item, further(min, 1))
    return min === 0 ? optional(some) : some
  }
  let tail = further(min, prefix.length)
  for (const [at, part] of [...others.entries()].reverse()) {
    const whole = sequence(COMMA, part, tail)
    // Item `at + 1` of the array, counting from 0.
    tail = at + 1 < min ? whole : optional(whole)
  }
  const whole = sequence(first, tail)
  return min === 0 ? optional(whole) : whole
}
