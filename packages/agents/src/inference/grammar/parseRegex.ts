/**
 * The boundary from regular expressions: the part of ECMAScript's syntax that describes texts, without assertions and
 * references. Pure; throws `FormatProblem`.
 */
import {
  type CodeRange,
  choice,
  type Expression,
  FormatProblem,
  invertRanges,
  repeat,
  sequence,
  tidyRanges,
} from "./Expression.ts"

/** How a set of characters is written where the text will stand: as it is, or as the inside of a JSON string. */
export type SpellClass = (ranges: ReadonlyArray<CodeRange>) => Expression

/** A repetition of more is a mistake; the network has a bound of its own. */
const REPEATS_MAX = 10_000
/** Groups in groups; the parser calls itself. */
const DEPTH_MAX = 100

const DIGIT: ReadonlyArray<CodeRange> = [[0x30, 0x39]]
const WORD: ReadonlyArray<CodeRange> = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]
const SPACE: ReadonlyArray<CodeRange> = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]
const LINE_ENDS: ReadonlyArray<CodeRange> = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]
const CLASSES: Readonly<Record<string, ReadonlyArray<CodeRange>>> = {
  d: DIGIT,
  D: invertRanges(DIGIT),
  w: WORD,
  W: invertRanges(WORD),
  s: SPACE,
  S: invertRanges(SPACE),
}
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, "0": 0 }

/** What a regular expression means, before it is known whether it must match the whole. */
export interface ParsedRegex {
  /** Each alternative on the outermost level, and whether it is tied to the beginning and the end. */
  readonly alternatives: ReadonlyArray<{
    readonly expression: Expression
    readonly begins: boolean
    readonly ends: boolean
  }>
}

class RegexParser {
  readonly #characters: ReadonlyArray<string>
  readonly #spell: SpellClass
  #at = 0
  #depth = 0

  constructor(pattern: string, spell: SpellClass) {
    this.#characters = Array.from(pattern)
    this.#spell = spell
  }

  parse(): ParsedRegex {
    const alternatives: Array<ParsedRegex["alternatives"][number]> = []
    do {
      const begins = this.#skip("^")
      const parts: Array<Expression> = []
      let ends = false
      while (!this.#isOver() && this.#peek() !== "|") {
        if (this.#skip("$")) {
          ends = true
          if (!this.#isOver() && this.#peek() !== "|") this.#fail('"$" in the middle')
        } else parts.push(this.#repeated())
      }
      alternatives.push({ expression: sequence(...parts), begins, ends })
    } while (this.#skip("|"))
    if (this.#at < this.#characters.length) this.#fail(`"${this.#peek()}" without its beginning`)
    return { alternatives }
  }

  #peek = (): string => this.#characters[this.#at] ?? ""
  #isOver = (): boolean => this.#at >= this.#characters.length || (this.#depth === 0 && this.#peek() === ")")

  #skip(character: string): boolean {
    if (this.#peek() !== character) return false
    this.#at++
    return true
  }

  #fail(what: string): never {
    throw new FormatProblem(`regular expression: ${what} at character ${this.#at + 1} cannot be used here`)
  }

  #group(): Expression {
    if (++this.#depth > DEPTH_MAX) this.#fail(`a group ${DEPTH_MAX} groups deep`)
    if (this.#skip("?") && !this.#skip(":")) {
      const named = this.#peek() === "<" && !["=", "!"].includes(this.#characters[this.#at + 1] ?? "")
      if (!named) this.#fail("an assertion (lookahead or lookbehind)")
      while (this.#at < this.#characters.length && !this.#skip(">")) this.#at++
    }
    const parts: Array<Expression> = []
    do {
      const sequenceParts: Array<Expression> = []
      while (this.#at < this.#characters.length && this.#peek() !== "|" && this.#peek() !== ")") {
        sequenceParts.push(this.#repeated())
      }
      parts.push(sequence(...sequenceParts))
    } while (this.#skip("|"))
    if (!this.#skip(")")) this.#fail("a group without its end")
    this.#depth--
    return choice(...parts)
  }

  #repeated(): Expression {
    const part = this.#single()
    const [min, max] = this.#quantifier()
    // Lazy and greedy describe the same texts.
    if (min !== 1 || max !== 1) this.#skip("?")
    if (["*", "+", "?"].includes(this.#peek())) this.#fail(`"${this.#peek()}" after a repetition`)
    return min === 1 && max === 1 ? part : repeat(part, min, max)
  }

  #quantifier(): readonly [number, number | undefined] {
    if (this.#skip("*")) return [0, undefined]
    if (this.#skip("+")) return [1, undefined]
    if (this.#skip("?")) return [0, 1]
    const braces = /^\{(\d+)(,(\d*))?\}/.exec(this.#characters.slice(this.#at, this.#at + 16).join(""))
    if (braces === null) return [1, 1]
    this.#at += braces[0].length
    const min = Number(braces[1])
    const max = braces[2] === undefined ? min : braces[3] === "" ? undefined : Number(braces[3])
    if (max !== undefined && max < min) this.#fail(`a repetition from ${min} to ${max}`)
    if (Math.max(min, max ?? 0) > REPEATS_MAX) this.#fail(`a repetition of more than ${REPEATS_MAX}`)
    return [min, max]
  }

  #single(): Expression {
    const character = this.#peek()
    if ("*+?^$)".includes(character)) this.#fail(`"${character}"`)
    this.#at++
    if (character === "(") return this.#group()
    if (character === "[") return this.#spell(this.#set())
    if (character === ".") return this.#spell(invertRanges(LINE_ENDS))
    if (character === "\\") return this.#spell(this.#escape())
    const code = character.codePointAt(0)!
    return this.#spell([[code, code]])
  }

  #escape(): ReadonlyArray<CodeRange> {
    const letter = this.#peek()
    this.#at++
    const known = CLASSES[letter]
    if (known !== undefined) return known
    const control = CONTROLS[letter]
    if (control !== undefined) return [[control, control]]
    if (letter === "x" || letter === "u") return this.#hex(letter)
    if (letter === "" || /[\p{L}\p{N}]/u.test(letter)) this.#fail(`"\\${letter}"`)
    const code = letter.codePointAt(0)!
    return [[code, code]]
  }

  #hex(letter: string): ReadonlyArray<CodeRange> {
    const rest = this.#characters.slice(this.#at, this.#at + 10).join("")
    const found = (letter === "x" ? /^([0-9a-fA-F]{2})/ : /^(?:([0-9a-fA-F]{4})|\{([0-9a-fA-F]{1,6})\})/).exec(rest)
    const digits = found?.[1] ?? found?.[2]
    const code = digits === undefined ? -1 : Number.parseInt(digits, 16)
    if (found === null || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) this.#fail(`"\\${letter}"`)
    this.#at += found[0].length
    return [[code, code]]
  }

  #set(): ReadonlyArray<CodeRange> {
    const inverted = this.#skip("^")
    const ranges: Array<CodeRange> = []
    while (!this.#skip("]")) {
      if (this.#at >= this.#characters.length) this.#fail("a set without its end")
      const low = this.#setMember()
      const isRange = this.#peek() === "-" && (this.#characters[this.#at + 1] ?? "]") !== "]"
      if (!isRange || low.length !== 1 || low[0]![0] !== low[0]![1]) {
        ranges.push(...low)
        continue
      }
      this.#at++
      const high = this.#setMember()
      if (high.length !== 1 || high[0]![0] < low[0]![0]) this.#fail("a range that runs backwards")
      ranges.push([low[0]![0], high[0]![1]])
    }
    return inverted ? invertRanges(ranges) : tidyRanges(ranges)
  }

  #setMember(): ReadonlyArray<CodeRange> {
    const character = this.#peek()
    this.#at++
    if (character === "\\") return this.#skip("b") ? [[8, 8]] : this.#escape()
    const code = character.codePointAt(0)!
    return [[code, code]]
  }
}

export const parseRegex = (pattern: string, spell: SpellClass): ParsedRegex => new RegexParser(pattern, spell).parse()

/** Texts that match it from the first to the last character. */
export const wholeRegex = (pattern: string): Expression => {
  const { alternatives } = parseRegex(pattern, (ranges) => ({ kind: "class", ranges }))
  return choice(...alternatives.map(({ expression }) => expression))
}
