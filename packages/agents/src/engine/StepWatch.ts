/**
 * The boundary between a slow step and a hang: how long an engine that owes an answer may say nothing. Pure but for the
 * numbers it keeps.
 *
 * A working engine says so every `HEARTBEAT_MS` or, where steps are longer, after each step, so its silences measure its
 * steps. The bound is ten times the longest silence of late, within the given limits: a model whose steps take 10 ms is
 * found hanging after `boundMsMin`, one whose steps take a second after ten, and none later than `boundMsMax`.
 */

/** A step of ten times the longest so far is a machine that swaps or is far overloaded: a restart does no harm there. */
const FACTOR = 10
/** Silences heard before the bound follows them: until then a longer step, as of a long prompt, may not have been seen. */
const LEARNT_FROM = 50
/** The longest counts half after this time, so that one stall of the machine is not remembered for ever. */
const HALF_LIFE_MS = 60_000

export class StepWatch {
  readonly #boundMsMin: number
  readonly #boundMsMax: number
  #heard = 0
  #longestMs = 0
  #boundMsExpected = 0

  constructor(limits: { readonly boundMsMin: number; readonly boundMsMax: number }) {
    this.#boundMsMax = limits.boundMsMax
    this.#boundMsMin = Math.min(limits.boundMsMin, limits.boundMsMax)
  }

  /** Notes how long it was silent between two messages, or between a request and the first one. */
  note(silenceMs: number): void {
    this.#heard++
    this.#longestMs = Math.max(silenceMs, this.#longestMs * 2 ** (-silenceMs / HALF_LIFE_MS))
  }

  /**
   * Tells it beforehand that a step may take this long, as one that reads a whole chunk of a prompt: nothing short of it is
   * called a hang.
   */
  expect(stepMs: number): void {
    this.#boundMsExpected = Math.max(this.#boundMsExpected, stepMs)
  }

  get boundMs(): number {
    if (this.#heard < LEARNT_FROM) return this.#boundMsMax
    const learnt = Math.max(this.#boundMsMin, this.#boundMsExpected, FACTOR * this.#longestMs)
    return Math.min(this.#boundMsMax, learnt)
  }
}
