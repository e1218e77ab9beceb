/**
 * The boundary between tokens and the text that they were made of: where each of them stands in it. The tokenizer does not
 * say, and what it did to the text on the way (lower case, accents, blanks) differs between models. Pure.
 *
 * Tokens of bytes (GPT-2 and its kind) are counted off in UTF-8. All others are sought, in order, in a text from which case,
 * accents and blanks are taken, as they are taken from the token. A token that stands for what the vocabulary does not have
 * is taken for the next word, or the next sign.
 */

export interface Place {
  readonly start: number
  /** Behind it. */
  readonly end: number
}

/** GPT-2's printable stand-in for every byte, and back. */
const BYTES: ReadonlyMap<string, number> = (() => {
  const plain = [...Array(256).keys()].filter(
    (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174,
  )
  const others = [...Array(256).keys()].filter((byte) => !plain.includes(byte))
  return new Map([
    ...plain.map((byte) => [String.fromCharCode(byte), byte] as const),
    ...others.map((byte, at) => [String.fromCharCode(256 + at), byte] as const),
  ])
})()

const BLANK = 0x20

/** The place in UTF-16 of each byte of a text, and of its end. */
const byteOffsets = (text: string): ReadonlyArray<number> => {
  const offsets: Array<number> = []
  let at = 0
  for (const character of text) {
    for (let byte = Buffer.byteLength(character); byte > 0; byte--) offsets.push(at)
    at += character.length
  }
  return [...offsets, at]
}

/** Places of tokens that are bytes in GPT-2's alphabet. */
export const locateBytes = (text: string, tokens: ReadonlyArray<string>): ReadonlyArray<Place> => {
  const bytes = Buffer.from(text)
  const offsets = byteOffsets(text)
  const placeAt = (byte: number): number => offsets[Math.min(byte, bytes.length)] ?? 0
  let at = 0
  return tokens.map((token) => {
    let from: number | undefined
    for (const character of token) {
      const byte = BYTES.get(character)
      // A blank that the text does not have was put before it, or into a control token to break it.
      if (byte === BLANK && bytes[at] !== BLANK) continue
      if (byte !== BLANK) from ??= at
      if (at < bytes.length) at++
    }
    const last = at
    const begin = placeAt(from ?? last)
    // The end of the character that the last byte is in.
    let end = last
    while (end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end++
    return { start: begin, end: Math.max(begin, placeAt(end)) }
  })
}

/** Case, accents and blanks taken off. */
const fold = (text: string): string =>
  text
    .normalize("NFKD")
    .replaceAll(/[\p{M}\s]/gu, "")
    .toLowerCase()

interface Folded {
  readonly text: string
  /** For each UTF-16 unit of `text`, the character of the original that it comes from. */
  readonly places: ReadonlyArray<Place>
}

const foldText = (text: string): Folded => {
  const places: Array<Place> = []
  let folded = ""
  let at = 0
  for (const character of text) {
    const place = { start: at, end: at + character.length }
    const piece = fold(character)
    folded += piece
    for (let unit = 0; unit < piece.length; unit++) places.push(place)
    at = place.end
  }
  return { text: folded, places }
}

/** Beginnings and continuations of words, as WordPiece (##ing), SentencePiece (▁the) and BPE with an end (low</w>) mark them. */
const surfaceOf = (token: string): string =>
  fold(
    token
      .replace(/^##/, "")
      .replace(/<\/w>$/, "")
      .replaceAll("▁", ""),
  )

/** How far behind the last token one is sought: longer gaps are no gaps, but a token that stands for something else. */
const GAP_MAX = 32

/** How much of the text a token stands for that says nothing of itself: a sign, or a run of letters and digits. */
const unknownLength = (folded: Folded, at: number): number => {
  let length = 0
  const isWordAt = (unit: number) => /[\p{L}\p{N}]/u.test(String.fromCodePoint(folded.text.codePointAt(unit) ?? 0))
  while (at + length < folded.text.length && isWordAt(at + length)) {
    // Blanks are gone from the folded text: where two characters were apart in the original, the word ends.
    const isApart = length > 0 && folded.places[at + length]!.start > folded.places[at + length - 1]!.end
    if (isApart) break
    length++
  }
  const first = folded.text.codePointAt(at) ?? 0
  return length > 0 ? length : first > 0xffff ? 2 : 1
}

/** Places of tokens of any other kind. @param isUnknown whether a token says nothing of the text that it stands for */
export const locatePieces = (
  text: string,
  tokens: ReadonlyArray<string>,
  isUnknown: (token: string) => boolean,
): ReadonlyArray<Place> => {
  const folded = foldText(text)
  let at = 0
  return tokens.map((token) => {
    const nowhere = folded.places[at]?.start ?? text.length
    const surface = surfaceOf(token)
    if (isUnknown(token) && at < folded.text.length) {
      const begin = at
      at += unknownLength(folded, at)
      return { start: nowhere, end: folded.places[Math.max(begin, Math.min(at, folded.places.length) - 1)]!.end }
    }
    const found = surface === "" ? -1 : folded.text.indexOf(surface, at)
    if (found < 0 || found > at + GAP_MAX) return { start: nowhere, end: nowhere }
    at = found + surface.length
    return { start: folded.places[found]!.start, end: folded.places[at - 1]!.end }
  })
}
