/**
 * The boundary that keeps a model's contexts within the memory that was given to them: those of running answers, at the
 * length that each may grow to, and what is kept of earlier ones in what is left beside them.
 *
 * Memory is promised before a request begins, so that none has to be stopped in the middle for want of it. What it does not
 * count: weights, and what onnxruntime takes for the numbers within one step.
 */
import type { DecoderStep } from "../decoding/DecoderStep.ts"
import type { PrefixCache } from "./PrefixCache.ts"

export interface ContextBudgetOptions {
  readonly step: Pick<DecoderStep, "bytesFor">
  readonly cache: Pick<PrefixCache, "allow">
  /** Bytes that all contexts together may take. */
  readonly bytesMax: number
}

export class ContextBudget {
  readonly bytesMax: number
  readonly #options: ContextBudgetOptions
  /** By number of rows: found before any row is there, for later the step counts what rows have left behind, too. */
  readonly #tokensMax: ReadonlyArray<number>

  /** @param rowsMax sequences that one request may run at once */
  constructor(options: ContextBudgetOptions, rowsMax: number) {
    this.#options = options
    this.bytesMax = options.bytesMax
    this.#tokensMax = Array.from({ length: rowsMax }, (_, index) => this.#findTokensMax(index + 1))
  }

  /** Tokens that each of `rows` sequences may have at most when they have all memory to themselves. */
  tokensMax(rows: number): number {
    return this.#tokensMax[rows - 1] ?? 0
  }

  /**
   * Whether sequences that will grow to these lengths may run together. If so, what is kept beside them is cut down to the
   * memory that they leave.
   */
  admit(lengths: ReadonlyArray<number>): boolean {
    const { bytesMax, cache, step } = this.#options
    const bytes = step.bytesFor(lengths)
    if (bytes > bytesMax) return false
    cache.allow(bytesMax - bytes)
    return true
  }

  #findTokensMax(rows: number): number {
    const { bytesMax, step } = this.#options
    const fits = (tokens: number) => step.bytesFor(Array<number>(rows).fill(tokens)) <= bytesMax
    // Doubling up from one token; nobody has a context of more than this.
    let least = 0
    let most = 1
    while (most < Number.MAX_SAFE_INTEGER / 2 && fits(most)) {
      least = most
      most *= 2
    }
    while (least + 1 < most) {
      const middle = Math.floor((least + most) / 2)
      if (fits(middle)) least = middle
      else most = middle
    }
    return least
  }
}
