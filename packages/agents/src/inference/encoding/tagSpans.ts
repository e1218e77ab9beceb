/**
 * The boundary between labels of tokens and parts of a text: which neighbours are one, in the words of the tagging schemes
 * IOB and BIOES. Pure.
 */
import type { TokenSpan } from "../../EncoderTarget.ts"

/** One token's label, and where in the text the token is. */
export interface LabelledToken {
  readonly label: string
  readonly score: number
  readonly start: number
  readonly end: number
}

const OUTSIDE = "O"
const PREFIXED = /^([BIES])-(.+)$/

const tagOf = (label: string): { readonly prefix: string; readonly tag: string } => {
  const [, prefix = "I", tag = label] = PREFIXED.exec(label) ?? []
  return { prefix, tag }
}

const spanOf = (label: string, tokens: ReadonlyArray<LabelledToken>, text: string): TokenSpan => {
  const start = Math.min(...tokens.map((token) => token.start))
  const end = Math.max(...tokens.map((token) => token.end))
  const score = tokens.reduce((sum, token) => sum + token.score, 0) / tokens.length
  return { label, score, start, end, text: text.slice(start, end) }
}

/** Every token for itself. */
export const singleSpans = (tokens: ReadonlyArray<LabelledToken>, text: string): ReadonlyArray<TokenSpan> =>
  tokens.filter(({ label }) => label !== OUTSIDE).map((token) => spanOf(token.label, [token], text))

/**
 * Neighbours of one tag as one span: B- and S- begin a new one, E- and S- end it, O ends it too. As aggregation "simple" of
 * transformers in Python; transformers.js joins what an O stands between.
 */
export const joinedSpans = (tokens: ReadonlyArray<LabelledToken>, text: string): ReadonlyArray<TokenSpan> => {
  const groups: Array<{ readonly tag: string; readonly tokens: Array<LabelledToken> }> = []
  let open: string | undefined
  for (const token of tokens) {
    const { prefix, tag } = tagOf(token.label)
    const group = groups.at(-1)
    if (group !== undefined && open === tag && prefix !== "B" && prefix !== "S") group.tokens.push(token)
    else groups.push({ tag, tokens: [token] })
    open = prefix === "E" || prefix === "S" ? undefined : tag
  }
  return groups.filter(({ tag }) => tag !== OUTSIDE).map((group) => spanOf(group.tag, group.tokens, text))
}
