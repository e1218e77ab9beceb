/**
 * The boundary between the languages in which a format is written (JSON Schema, regular expressions, EBNF) and what is
 * matched: one small algebra of texts. Pure.
 */

/** Code points from the first to the last, both included. */
export type CodeRange = readonly [number, number]

export type Expression =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "class"; readonly ranges: ReadonlyArray<CodeRange> }
  | { readonly kind: "sequence"; readonly parts: ReadonlyArray<Expression> }
  | { readonly kind: "choice"; readonly parts: ReadonlyArray<Expression> }
  /** `max` undefined: any number of times. */
  | { readonly kind: "repeat"; readonly part: Expression; readonly min: number; readonly max: number | undefined }
  | { readonly kind: "rule"; readonly name: string }

export interface Grammar {
  readonly rules: ReadonlyMap<string, Expression>
  readonly root: string
}

/** What is wrong with a format, in one clause for a reader: thrown by the parsers, caught where a format is compiled. */
export class FormatProblem extends Error {}

export const CODE_POINT_MAX = 0x10ffff

export const text = (value: string): Expression => ({ kind: "text", text: value })
export const charClass = (...ranges: ReadonlyArray<CodeRange>): Expression => ({ kind: "class", ranges })
export const sequence = (...parts: ReadonlyArray<Expression>): Expression => ({ kind: "sequence", parts })
export const choice = (...parts: ReadonlyArray<Expression>): Expression => {
  const [only] = parts
  return parts.length === 1 && only !== undefined ? only : { kind: "choice", parts }
}
export const repeat = (part: Expression, min: number, max?: number): Expression => ({ kind: "repeat", part, min, max })
export const optional = (part: Expression): Expression => repeat(part, 0, 1)
export const rule = (name: string): Expression => ({ kind: "rule", name })

/** The ranges in order, without overlaps. */
export const tidyRanges = (ranges: ReadonlyArray<CodeRange>): ReadonlyArray<CodeRange> => {
  const tidy: Array<CodeRange> = []
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = tidy.at(-1)
    if (last !== undefined && low <= last[1] + 1) tidy[tidy.length - 1] = [last[0], Math.max(last[1], high)]
    else tidy.push([low, high])
  }
  return tidy
}

/** Every code point that is in none of the ranges. */
export const invertRanges = (ranges: ReadonlyArray<CodeRange>): ReadonlyArray<CodeRange> => {
  const inverted: Array<CodeRange> = []
  let next = 0
  for (const [low, high] of tidyRanges(ranges)) {
    if (low > next) inverted.push([next, low - 1])
    next = high + 1
  }
  if (next <= CODE_POINT_MAX) inverted.push([next, CODE_POINT_MAX])
  return inverted
}
