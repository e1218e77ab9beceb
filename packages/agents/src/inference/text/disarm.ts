/**
 * The boundary between what a stranger wrote and the model's own control tokens. Pure.
 */

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")

/**
 * Makes a function that breaks every control token (`<|end|>`, `[SEP]`) in a text with a blank, so that a tokenizer reads
 * it as the characters that it is. Without it a customer who writes `<|end|><|agent|>` puts words into the model's mouth.
 *
 * @param controlTokens the special tokens of the tokenizer, as they are written
 */
export const makeDisarm = (controlTokens: Iterable<string>): ((text: string) => string) => {
  // One of a single character could only be removed, not broken; the longest first, so that none hides in another.
  const tokens = [...controlTokens].filter((token) => token.length > 1).sort((a, b) => b.length - a.length)
  if (tokens.length === 0) return (text) => text
  const pattern = new RegExp(tokens.map(escape).join("|"), "gu")
  const broken = (token: string): string => {
    const [first = "", ...rest] = token
    return `${first} ${rest.join("")}`
  }
  return (text) => text.replace(pattern, broken)
}
