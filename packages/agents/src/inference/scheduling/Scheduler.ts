/**
 * The boundary between requests and steps: which answers are in slots, which wait, and whose turn it is.
 *
 * Every step serves up to `DecoderStep.rowsMax` answers, round robin, so that no answer waits for another to end. With
 * a step that takes many rows the same loop is continuous batching. Its queue is bounded by the host's admission.
 */

import { type ChildMessage, HEARTBEAT_MS } from "../../engine/protocol.ts"
import { RetryableModelBusy, TerminalModelFailure } from "../../ModelTarget.ts"
import type { ContextBudget } from "../cache/ContextBudget.ts"
import type { PrefixCache } from "../cache/PrefixCache.ts"
import type { DecoderStep } from "../decoding/DecoderStep.ts"
import type { Speculation } from "../speculation/Speculation.ts"
import {
  alignedTokens,
  chunkedTokens,
  type Generation,
  type GenerationStart,
  isReading,
  makeGeneration,
  nextRow,
  noteStep,
  type PrefillRules,
  type TokenProblem,
  takeLogits,
  timingOf,
  tokensMaxOf,
} from "./Generation.ts"
import { type Pause, StepDelay } from "./StepDelay.ts"

/**
 * Tokens are told at most this often, or after every step where steps are slower: a message costs both processes some
 * 50 us, which is a tenth of a small model's step, and no reader sees 4 ms.
 */
const TELL_EVERY_MS = 4

export interface SchedulerOptions {
  readonly model: string
  readonly step: DecoderStep
  readonly cache: PrefixCache
  /** Requests that never fit are not submitted. */
  readonly budget: Pick<ContextBudget, "admit">
  readonly speculation?: Speculation | undefined
  readonly slots: number
  readonly vocabSize: number
  readonly rules: PrefillRules
  readonly tell: (message: ChildMessage) => void
  /** Milliseconds since the epoch: deadlines. */
  readonly now: () => number
  /** Milliseconds since any moment, never going back: how long things take. */
  readonly clockMs: () => number
  readonly pause: Pause
}

export class Scheduler {
  readonly delay: StepDelay
  readonly #options: SchedulerOptions
  readonly #waiting: Array<GenerationStart> = []
  /** In the order of their turns. */
  #running: Array<Generation> = []
  /** The answers inside the running step: their slots are not to be touched. */
  #feeding: ReadonlyArray<Generation> = []
  /** Cancelled while a step ran: no slot may be touched before it is over. */
  #departed: Array<Generation> = []
  /** Whether the last step read a prompt. */
  #hasRead = false
  #steps = 0
  #active = false
  #toldAtMs = 0
  #beatAtMs = 0

  constructor(options: SchedulerOptions) {
    this.#options = options
    this.delay = new StepDelay(options.pause)
  }

  submit(start: GenerationStart): void {
    this.#waiting.push(start)
    void this.#run()
  }

  /** No more of its tokens are made; one that is inside a step leaves after it. */
  cancel(id: number): void {
    const at = this.#waiting.findIndex((start) => start.id === id)
    if (at >= 0) this.#waiting.splice(at, 1)
    const generation = this.#running.find((candidate) => candidate.id === id)
    if (generation === undefined) return
    this.#running = this.#running.filter((other) => other !== generation)
    if (this.#feeding.length === 0) this.#leave(generation)
    else this.#departed.push(generation)
  }

  counters(): { readonly steps: number; readonly running: number; readonly waiting: number } {
    return { steps: this.#steps, running: this.#running.length, waiting: this.#waiting.length }
  }

  /** Never rejects but for a failure inside the runtime: that ends the process, and its supervisor decides. */
  async #run(): Promise<void> {
    if (this.#active) return
    this.#active = true
    while (this.#running.length + this.#waiting.length > 0) {
      this.#beat()
      if (this.delay.delayMs > 0) {
        this.#tellAllTokens()
        await this.delay.wait()
      }
      this.#expire()
      this.#admit()
      if (this.#running.length > 0) await this.#takeStep()
    }
    this.#active = false
  }

  #admit(): void {
    while (this.#running.length < this.#options.slots) {
      const start = this.#waiting[0]
      // The first in line waits until there is memory for it, and the others behind it: else it might wait for ever.
      if (start === undefined || !this.#options.budget.admit([...this.#running, start].map(tokensMaxOf))) return
      this.#waiting.shift()
      const slot = this.#options.cache.take({
        cacheKey: start.cacheKey,
        tokenIds: [...start.prompt.tokenIds, ...start.resumeTokenIds],
        chunkedTokens: chunkedTokens(start, this.#options.rules),
      })
      this.#running.push(makeGeneration(start, slot, this.#options.clockMs()))
    }
  }

  /**
   * The answers whose turn it is; they go to the end of the line. A chunk of a prompt is a step of its own, and where
   * there are both, reading and writing take turns, so that no answer stands still while a long prompt is read.
   */
  #takeTurn(): ReadonlyArray<Generation> {
    const { rules, step } = this.#options
    const chosen = step.rowsMax === 1 ? this.#running.slice(0, 1) : []
    const reading = this.#running.find((generation) => isReading(generation, rules))
    const writing = this.#running.filter((generation) => !isReading(generation, rules)).slice(0, step.rowsMax)
    const read = reading !== undefined && (writing.length === 0 || !this.#hasRead)
    const turn = chosen.length > 0 ? chosen : reading !== undefined && read ? [reading] : writing
    this.#hasRead = read
    this.#running = [...this.#running.filter((generation) => !turn.includes(generation)), ...turn]
    return turn
  }

  async #takeStep(): Promise<void> {
    const { clockMs, now, rules, speculation, step, vocabSize } = this.#options
    const turn = this.#takeTurn()
    const startedAtMs = now()
    this.#feeding = turn
    await speculation?.propose(turn, this.#running.length)
    const logits = await step.run(turn.map((generation) => nextRow(generation, rules)))
    this.#feeding = []
    this.#steps++
    for (const [index, generation] of turn.entries()) {
      if (this.#departed.includes(generation)) continue
      const before = generation.completionTokens
      const problem = takeLogits(generation, logits[index]!, vocabSize)
      const fresh = generation.completionTokens - before
      // Of what was guessed wrong nothing may stay behind the answer.
      if (fresh > 0) step.cutBack(generation.slot, Math.min(generation.slot.length, generation.tokenIds.length - 1))
      speculation?.settle(generation, fresh)
      noteStep(generation, turn.length, before, clockMs())
      if (problem === undefined) {
        // The prompt has been read: others that begin like it need not wait for this answer's end.
        if (before === 0 && generation.completionTokens > 0) this.#keep("note", generation)
        this.#finish(generation)
      } else this.#failWithout(problem, generation)
    }
    for (const generation of this.#departed.splice(0)) this.#leave(generation)
    const endedAtMs = now()
    if (endedAtMs - startedAtMs >= TELL_EVERY_MS || endedAtMs - this.#toldAtMs >= TELL_EVERY_MS) this.#tellAllTokens()
  }

  #failWithout(problem: TokenProblem, generation: Generation): void {
    const { model, tell } = this.#options
    this.#tellTokens(generation)
    this.#leave(generation)
    const message = `Model "${model}": ${problem.message}.`
    const failure = new TerminalModelFailure({ model, reason: problem.reason, message, cause: null })
    tell({ _tag: "Failed", id: generation.id, failure })
  }

  #finish(generation: Generation): void {
    const { cachedTokens, completionTokens, id, prompt, reason, resumeTokenIds } = generation
    if (reason === undefined) return
    this.#tellTokens(generation)
    this.#leave(generation)
    const usage = { promptTokens: prompt.tokenIds.length + resumeTokenIds.length, completionTokens, cachedTokens }
    const cut = prompt.cut === undefined ? {} : { cut: prompt.cut }
    const timing = timingOf(generation, this.#options.clockMs())
    this.#options.tell({ _tag: "Finished", id, reason, usage, timing, ...cut })
  }

  /** Takes an answer out of its slot; what the model has read of it may serve the conversation's next request. */
  #leave(generation: Generation): void {
    this.#running = this.#running.filter((other) => other !== generation)
    this.#keep("put", generation)
    this.#options.speculation?.leave(generation)
  }

  #keep(how: "note" | "put", generation: Generation): void {
    const fed = generation.tokenIds.slice(0, generation.slot.length)
    const aligned = alignedTokens(generation, this.#options.rules)
    this.#options.cache[how](generation.cacheKey, generation.slot, fed, aligned)
  }

  #expire(): void {
    const atMs = this.#options.now()
    const late = (start: GenerationStart) => start.deadlineAtMs !== undefined && start.deadlineAtMs <= atMs
    for (const generation of this.#running.filter(late)) {
      this.#tellTokens(generation)
      this.#leave(generation)
      this.#tellLate(
        generation.id,
        `after ${generation.completionTokens} of at most ${generation.plan.maxTokens} tokens`,
      )
    }
    for (const start of this.#waiting.filter(late)) {
      this.#waiting.splice(this.#waiting.indexOf(start), 1)
      this.#tellLate(start.id, "while it waited for a slot")
    }
  }

  #tellLate(id: number, progress: string): void {
    const { model, tell } = this.#options
    const message = `Model "${model}": the request's deadline passed ${progress}.`
    tell({ _tag: "Failed", id, failure: new RetryableModelBusy({ model, message }) })
  }

  #tellTokens(generation: Generation): void {
    const { logprobs, tokenIds, text } = generation.untold
    if (tokenIds.length === 0) return
    generation.untold = { tokenIds: [], text: "", logprobs: [] }
    const told = logprobs.length === 0 ? {} : { logprobs }
    this.#options.tell({ _tag: "Tokens", id: generation.id, tokenIds, text, ...told })
  }

  #tellAllTokens(): void {
    this.#toldAtMs = this.#options.now()
    for (const generation of this.#running) this.#tellTokens(generation)
  }

  #beat(): void {
    const atMs = this.#options.now()
    if (atMs - this.#beatAtMs < HEARTBEAT_MS) return
    this.#beatAtMs = atMs
    this.#options.tell({ _tag: "Working" })
  }
}
