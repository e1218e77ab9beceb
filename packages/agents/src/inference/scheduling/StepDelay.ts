/**
 * The boundary of the one fault that a model's process can be told to have: slowness. For tests and demos.
 */

/** Waits, until `signal` says to stop. */
export type Pause = (delayMs: number, signal?: AbortSignal) => Promise<void>

export class StepDelay {
  readonly #pause: Pause
  #delayMs = 0
  #waiting: AbortController | undefined

  constructor(pause: Pause) {
    this.#pause = pause
  }

  get delayMs(): number {
    return this.#delayMs
  }

  /** Takes effect at once: a wait that is under way ends. */
  setDelayMs(delayMs: number): void {
    this.#delayMs = delayMs
    this.#waiting?.abort()
  }

  async wait(): Promise<void> {
    if (this.#delayMs === 0) return
    this.#waiting = new AbortController()
    await this.#pause(this.#delayMs, this.#waiting.signal)
    this.#waiting = undefined
  }
}
