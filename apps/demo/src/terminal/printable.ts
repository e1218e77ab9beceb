/** The boundary between text of strangers (customers, models) and a terminal: one line, and nothing that steers it. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this pattern keeps out
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g

/** Control characters, line breaks and marks that turn the writing direction become one blank each run. */
export const printable = (text: string): string => text.replace(CONTROLS, " ")

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" })

/** At most `length` characters as a reader counts them; what was cut is marked by an ellipsis. */
export const clip = (text: string, length: number): string => {
  // A grapheme is at least one code unit: what is short enough in units is short enough.
  if (text.length <= length) return text
  let kept = ""
  let count = 0
  for (const { segment } of graphemes.segment(text)) {
    if (count === length - 1) {
      return kept.length + segment.length === text.length ? text : `${kept.trimEnd()}…`
    }
    kept += segment
    count++
  }
  return text
}
