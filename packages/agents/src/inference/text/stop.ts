/**
 * The boundary between generated text and what a reader may see of it: a text ends before the first stop string, also
 * when that lies across token borders, so whatever could still become one is held back. Pure.
 */

export interface StopMatcher {
  /** Takes more text; gives what is now certain not to belong to a stop string. Nothing more comes after `stopped`. */
  readonly push: (text: string) => { readonly text: string; readonly stopped: boolean }
  /** The text is over: gives what was held back. */
  readonly end: () => string
}

/** How much of the end of `text` is the beginning of one of `stops`. */
const heldBack = (text: string, stops: ReadonlyArray<string>): number => {
  let most = 0
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > most; length--) {
      if (text.endsWith(stop.slice(0, length))) {
        most = length
        break
      }
    }
  }
  return most
}

/**
 * Where the text ends: before the stop string that is complete first, and of two that are complete at once before the
 * longer; -1 where none is. Looking for the one that begins first instead would make the answer depend on where the
 * token borders are: with the stops "abcd" and "c", the tokens "abc" + "d" would end elsewhere than "abcd".
 */
const findStop = (text: string, stops: ReadonlyArray<string>): number => {
  let begin = -1
  let end = Number.POSITIVE_INFINITY
  for (const stop of stops) {
    const at = text.indexOf(stop)
    if (at < 0) continue
    const over = at + stop.length
    if (over < end || (over === end && at < begin)) {
      begin = at
      end = over
    }
  }
  return begin
}

/**
 * Makes a matcher. Its output depends only on the text pushed so far, not on how it was cut into pushes.
 *
 * @param stops none of them empty
 */
export const makeStopMatcher = (stops: ReadonlyArray<string>): StopMatcher => {
  let held = ""
  return {
    push: (text) => {
      held += text
      const at = findStop(held, stops)
      if (at >= 0) return { text: take(at), stopped: true }
      return { text: take(held.length - heldBack(held, stops)), stopped: false }
    },
    end: () => take(held.length),
  }
  function take(length: number): string {
    const text = held.slice(0, length)
    held = held.slice(length)
    return text
  }
}
