/**
 * The boundary to a small draft model that guesses the next tokens, so that one step of the large one checks several
 * (speculative decoding, arXiv 2211.17192).
 *
 * Exact by construction: a token is a function of the logits, the seed and its place, and the large model's own token is
 * drawn at every place; guesses only decide how many places one step reaches. The draft draws with the same seed, so that
 * the two agree as often at a high temperature as their distributions do.
 */
import type { DecoderStep, KvSlot } from "../decoding/DecoderStep.ts"
import { drawToken, type Generation, type PrefillRules } from "../scheduling/Generation.ts"
import { SpeculationSwitch } from "./SpeculationSwitch.ts"

export interface SpeculationOptions {
  /** The draft model. */
  readonly step: DecoderStep
  /** Tokens guessed a round, 1 to 16. */
  readonly tokens: number
  readonly vocabSize: number
  readonly rules: PrefillRules
  readonly clockMs: () => number
  /** Whether to measure which way is faster; else every round that may speculates. */
  readonly adaptive: boolean
}

export interface SpeculationCounters {
  /** Tokens that the draft has guessed since the start, and how many of them the model took. */
  readonly draftedTokens: number
  readonly acceptedTokens: number
}

/** Whether the next step feeds one token, which the model has made. */
const feedsOwnToken = ({ completionTokens, slot, tokenIds }: Generation): boolean =>
  completionTokens > 0 && slot.length === tokenIds.length - 1

export class Speculation {
  readonly #options: SpeculationOptions
  readonly #slots = new Map<Generation, KvSlot>()
  readonly #switch = new SpeculationSwitch()
  #draftedTokens = 0
  #acceptedTokens = 0
  /** The answer whose present round is measured, and when that began. */
  #measured: { readonly generation: Generation; readonly startedMs: number } | undefined

  constructor(options: SpeculationOptions) {
    this.#options = options
  }

  counters(): SpeculationCounters {
    return { draftedTokens: this.#draftedTokens, acceptedTokens: this.#acceptedTokens }
  }

  /**
   * Guesses what comes next in an answer that has the step to itself; steps that answers share are full as they are. Called
   * before each step.
   */
  async propose(turn: ReadonlyArray<Generation>, running: number): Promise<void> {
    const { adaptive, clockMs, tokens } = this.#options
    for (const generation of turn) generation.guessed = []
    const [generation] = turn
    this.#measured = undefined
    if (generation === undefined || running > 1 || !feedsOwnToken(generation)) return
    this.#measured = { generation, startedMs: clockMs() }
    if (adaptive && !this.#switch.speculates) return
    // The step gives a token of its own behind those that were guessed right, and none may lie beyond the answer's bound.
    const left = generation.plan.maxTokens - (generation.tokenIds.length - generation.prompt.tokenIds.length)
    const guesses = Math.min(tokens, left - 1)
    if (guesses > 0) generation.guessed = await this.#guess(generation, guesses)
  }

  /** Called after each step with the tokens that it gave to an answer. */
  settle(generation: Generation, tokens: number): void {
    const guesses = generation.guessed.length
    if (this.#measured?.generation === generation) {
      this.#switch.note(guesses > 0, tokens, this.#options.clockMs() - this.#measured.startedMs)
    }
    if (guesses === 0) return
    this.#draftedTokens += guesses
    this.#acceptedTokens += tokens - 1
    generation.guessed = []
    const slot = this.#slots.get(generation)
    // What was guessed wrong is forgotten; the last token of all has not been fed to either model.
    if (slot !== undefined) this.#options.step.cutBack(slot, Math.min(slot.length, generation.tokenIds.length - 1))
  }

  /** Gives back what the draft holds of an answer. */
  leave(generation: Generation): void {
    const slot = this.#slots.get(generation)
    this.#slots.delete(generation)
    if (slot !== undefined) this.#options.step.release(slot)
  }

  async #guess(generation: Generation, guesses: number): Promise<ReadonlyArray<number>> {
    const { rules, step, vocabSize } = this.#options
    const slot = this.#slots.get(generation) ?? step.open()
    this.#slots.set(generation, slot)
    const guessed: Array<number> = []
    while (guessed.length < guesses) {
      const known = [...generation.tokenIds, ...guessed]
      const tokenIds = known.slice(slot.length, slot.length + rules.chunkTokens)
      const [logits] = await step.run([{ slot, tokenIds }])
      // The draft reads the prompt first, a chunk at a time.
      if (slot.length < known.length) continue
      const tokenId = logits === undefined ? -1 : drawToken(generation, known, logits.subarray(0, vocabSize))
      if (tokenId < 0) break
      guessed.push(tokenId)
    }
    return guessed
  }
}
