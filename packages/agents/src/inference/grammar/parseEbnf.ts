/**
 * The boundary from grammars in EBNF, in the notation that llama.cpp and XGrammar read:
 *
 *     root  ::= greeting ", " name "!"    # a comment
 *     name  ::= [A-Z] [a-z]{1,9} | "you"
 *
 * Pure; throws `FormatProblem`.
 */
import {
  type CodeRange,
  choice,
  type Expression,
  FormatProblem,
  type Grammar,
  invertRanges,
  repeat,
  rule,
  sequence,
  text,
} from "./Expression.ts"

const NAME = /^[A-Za-z_][\w.-]*/
const DEFINITION = /^([A-Za-z_][\w.-]*)\s*::=/
/** Groups in groups; the parser calls itself. */
const DEPTH_MAX = 100
const REPEATS_MAX = 10_000
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" }

class EbnfParser {
  readonly #source: string
  #at = 0
  #depth = 0

  constructor(source: string) {
    this.#source = source
  }

  parse(): Grammar {
    const rules = new Map<string, Expression>()
    this.#blank()
    while (this.#at < this.#source.length) {
      const definition = DEFINITION.exec(this.#source.slice(this.#at))
      const name = definition?.[1]
      if (definition === null || name === undefined) this.#fail('expected a rule, as in `name ::= "text"`')
      if (rules.has(name)) this.#fail(`rule "${name}" is there twice`)
      this.#at += definition[0].length
      rules.set(name, this.#choice())
    }
    if (!rules.has("root")) throw new FormatProblem('grammar: there is no rule "root" to begin with')
    return { rules, root: "root" }
  }

  #fail(what: string): never {
    const line = this.#source.slice(0, this.#at).split("\n").length
    throw new FormatProblem(`grammar, line ${line}: ${what}`)
  }

  #rest = (): string => this.#source.slice(this.#at)

  #blank(): void {
    const blank = /^(?:\s+|#[^\n]*)+/.exec(this.#rest())
    if (blank !== null) this.#at += blank[0].length
  }

  #skip(token: string): boolean {
    if (!this.#source.startsWith(token, this.#at)) return false
    this.#at += token.length
    return true
  }

  #choice(): Expression {
    if (++this.#depth > DEPTH_MAX) this.#fail(`more than ${DEPTH_MAX} groups in groups`)
    const parts: Array<Expression> = []
    do parts.push(this.#sequence())
    while (this.#skip("|"))
    this.#depth--
    return choice(...parts)
  }

  #sequence(): Expression {
    const parts: Array<Expression> = []
    for (;;) {
      this.#blank()
      const next = this.#source[this.#at] ?? ""
      if (next === "" || next === "|" || next === ")" || DEFINITION.test(this.#rest())) break
      parts.push(this.#repeated())
    }
    return sequence(...parts)
  }

  #repeated(): Expression {
    const part = this.#single()
    if (this.#skip("*")) return repeat(part, 0)
    if (this.#skip("+")) return repeat(part, 1)
    if (this.#skip("?")) return repeat(part, 0, 1)
    const braces = /^\{\s*(\d+)\s*(,\s*(\d*)\s*)?\}/.exec(this.#source.slice(this.#at, this.#at + 40))
    if (braces === null) return part
    const min = Number(braces[1])
    const max = braces[2] === undefined ? min : braces[3] === "" ? undefined : Number(braces[3])
    if (max !== undefined && max < min) this.#fail(`a repetition from ${min} to ${max}`)
    if (Math.max(min, max ?? 0) > REPEATS_MAX) this.#fail(`a repetition of more than ${REPEATS_MAX}`)
    this.#at += braces[0].length
    return repeat(part, min, max)
  }

  #single(): Expression {
    if (this.#skip('"')) return this.#text()
    if (this.#skip("[")) return this.#set()
    if (this.#skip("(")) {
      const inside = this.#choice()
      this.#blank()
      if (!this.#skip(")")) this.#fail("a group without its end")
      return inside
    }
    const name = NAME.exec(this.#rest())?.[0]
    if (name === undefined) this.#fail(`"${this.#source[this.#at]}" cannot be used here`)
    this.#at += name.length
    return rule(name)
  }

  /** One character of a text or a set, escapes resolved. */
  #character(): string {
    const character = String.fromCodePoint(this.#source.codePointAt(this.#at) ?? 0)
    this.#at += character.length
    if (character !== "\\") return character
    const hex = /^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(this.#rest())
    if (hex !== null) {
      this.#at += hex[0].length
      const code = Number.parseInt(hex[1] ?? hex[2] ?? hex[3] ?? "", 16)
      if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) this.#fail(`\\${hex[0]} is no character`)
      return String.fromCodePoint(code)
    }
    const escaped = this.#source[this.#at] ?? ""
    this.#at += escaped.length
    return ESCAPES[escaped] ?? escaped
  }

  #text(): Expression {
    let value = ""
    while (!this.#skip('"')) {
      if (this.#at >= this.#source.length || this.#source[this.#at] === "\n") this.#fail("a text without its end")
      value += this.#character()
    }
    if (!value.isWellFormed()) this.#fail("a text is not well-formed Unicode")
    return text(value)
  }

  #set(): Expression {
    const inverted = this.#skip("^")
    const ranges: Array<CodeRange> = []
    while (!this.#skip("]")) {
      if (this.#at >= this.#source.length || this.#source[this.#at] === "\n") this.#fail("a set without its end")
      const low = this.#character().codePointAt(0)!
      const isRange = this.#source[this.#at] === "-" && this.#source[this.#at + 1] !== "]"
      if (isRange) this.#at++
      const high = isRange ? this.#character().codePointAt(0)! : low
      if (high < low) this.#fail("a range that runs backwards")
      ranges.push([low, high])
    }
    return { kind: "class", ranges: inverted ? invertRanges(ranges) : ranges }
  }
}

export const parseEbnf = (source: string): Grammar => new EbnfParser(source).parse()
