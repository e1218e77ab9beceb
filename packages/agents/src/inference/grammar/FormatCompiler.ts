/**
 * The boundary between what a request wants its answer to look like and a matcher of it, for one model. Compiled formats are
 * kept, the last used: a conversation asks for the same one again and again.
 */
import { Result } from "effect"
import type { AnswerFormat, ToolTerms } from "../../ModelTarget.ts"
import { Automaton } from "./Automaton.ts"
import { FormatProblem, type Grammar } from "./Expression.ts"
import { type CompiledFormat, fewestTokens } from "./FormatMatcher.ts"
import { jsonSchemaGrammar } from "./jsonSchemaGrammar.ts"
import { buildNetwork } from "./Network.ts"
import { parseEbnf } from "./parseEbnf.ts"
import { wholeRegex } from "./parseRegex.ts"
import { makeTokenTrie, type TokenTrie } from "./TokenTrie.ts"
import { toolCallGrammar } from "./toolCallGrammar.ts"

/** Formats kept. One of a large schema takes some megabytes with its states. */
const FORMATS_MAX = 16

export interface Vocabulary {
  /** By token id: what a token reads, undefined where it is no text; or why that cannot be known, in one clause. */
  readonly bytesOf: () => Result.Result<ReadonlyArray<Uint8Array | undefined>, string>
  readonly endTokenIds: ReadonlySet<number>
}

/** What an answer may have to look like: a format, or calls of tools. */
export type Asked = AnswerFormat | ToolTerms

const grammarOf = (format: Asked): Grammar => {
  if ("definitions" in format) return toolCallGrammar(format)
  if ("json" in format) return jsonSchemaGrammar(format.json)
  if ("regex" in format) return { rules: new Map([["root", wholeRegex(format.regex)]]), root: "root" }
  return parseEbnf(format.grammar)
}

export interface FormatCompiler {
  /** Ready to match; or what is wrong with it, in one sentence. */
  readonly compile: (format: Asked, tokensMax: number) => Result.Result<CompiledFormat, string>
}

export const makeFormatCompiler = (vocabulary: Vocabulary): FormatCompiler => {
  const kept = new Map<string, CompiledFormat>()
  let known: { readonly trie: TokenTrie; readonly bytesOf: ReadonlyArray<Uint8Array | undefined> } | undefined
  const make = (format: Asked): CompiledFormat => {
    if (known === undefined) {
      const bytesOf = vocabulary.bytesOf()
      if (Result.isFailure(bytesOf)) throw new FormatProblem(bytesOf.failure)
      known = { bytesOf: bytesOf.success, trie: makeTokenTrie(bytesOf.success) }
    }
    if (vocabulary.endTokenIds.size === 0)
      throw new FormatProblem("the model has no end token, so it could not end its answer")
    const { bytesOf, trie } = known
    const automaton = new Automaton(buildNetwork(grammarOf(format), trie.canSpell))
    return { automaton, trie, bytesOf, endTokenIds: vocabulary.endTokenIds }
  }
  return {
    compile: (format, tokensMax) =>
      Result.try({
        try: () => {
          const key = JSON.stringify(format)
          const compiled = kept.get(key) ?? make(format)
          kept.delete(key)
          kept.set(key, compiled)
          const [oldest] = kept.keys()
          if (kept.size > FORMATS_MAX && oldest !== undefined) kept.delete(oldest)
          const fewest = fewestTokens(compiled)
          if (fewest > tokensMax) {
            throw new FormatProblem(
              `an answer of it has ${fewest} tokens at least, and maxTokens is ${tokensMax}; raise it`,
            )
          }
          return compiled
        },
        catch: (problem) => {
          // A stack that overflows is a format of ours to refuse, too; anything else is a fault of ours.
          if (problem instanceof FormatProblem || problem instanceof RangeError) {
            return `the format cannot be used: ${problem.message}.`
          }
          throw problem
        },
      }),
  }
}
