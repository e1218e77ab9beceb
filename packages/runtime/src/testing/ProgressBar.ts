/**
 * The boundary between a long run and whoever watches it: a bar on a terminal; elsewhere, as in a log, a line each tenth of
 * the way.
 */

const WIDTH = 30

/** What a bar is drawn on: `process.stderr`. */
export interface ProgressOutput {
  readonly isTTY?: boolean
  readonly write: (text: string) => unknown
}

export class ProgressBar {
  readonly #output: ProgressOutput
  readonly #total: number
  readonly #what: string
  #done = 0
  #drawn = 0

  /** @param what is counted, in the plural */
  constructor(output: ProgressOutput, what: string, total: number) {
    this.#output = output
    this.#what = what
    this.#total = total
  }

  /** One more is done. */
  advance(): void {
    this.#done++
    const isTerminal = this.#output.isTTY === true
    const steps = isTerminal ? 200 : 10
    const step = Math.floor((this.#done / this.#total) * steps)
    if (step === this.#drawn) return
    this.#drawn = step
    const counted = `${this.#done} of ${this.#total} ${this.#what}`
    if (!isTerminal) {
      this.#output.write(`${counted}\n`)
      return
    }
    const filled = Math.floor((this.#done / this.#total) * WIDTH)
    this.#output.write(`\r\x1b[K[${"#".repeat(filled)}${".".repeat(WIDTH - filled)}] ${counted}`)
  }

  /** Takes the bar away. */
  clear(): void {
    if (this.#output.isTTY === true) this.#output.write("\r\x1b[K")
  }
}
