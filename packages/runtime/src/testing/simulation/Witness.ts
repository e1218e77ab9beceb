/**
 * The boundary between a run and its judges: what was seen from outside the runtime, by callers and by handlers. It is not
 * the runtime's memory: it survives every process, and knows nothing that a real caller or a real handler could not know.
 */
import { createHash } from "node:crypto"
import type { HandlerRun } from "../checkRuns.ts"

/** What a reader of a stream got. */
export interface Reading {
  /** Undefined until the first chunk, which says it. */
  messageId: string | undefined
  /** The number of the first chunk. */
  readonly from: number
  readonly chunks: Array<string>
  /** Whether the reader was told that this is all. */
  complete: boolean
}

export class Witness {
  readonly accepted: Array<string> = []
  /** Replies as they were told, encoded, by message id. */
  readonly replies = new Map<string, string>()
  /**
   * Messages that are in no order: sent with a delay, redriven, or handed on. What is taken back or expires is in its order:
   * nothing behind it runs before its end is on disk.
   */
  readonly unordered = new Set<string>()
  /** When messages ended, by the time that really passes. */
  readonly endedAtMs = new Map<string, number>()
  /** Scores that were taken, by who gave them: the log must have each once. */
  readonly scored: Array<string> = []
  readonly readings: Array<Reading> = []
  readonly runs: Array<HandlerRun> = []
  /** What was recorded for an act of a handler, by its number: `ID.ORDINAL`. */
  readonly recalled = new Map<string, string>()
  /** What was recorded of steps and compensations, by the key that each got: none of it may be done again. */
  readonly recorded = new Set<string>()
  /** How often each was begun. */
  readonly #begun = new Map<string, number>()
  /** When each sleep was first asked for. */
  readonly #asleepAtMs = new Map<string, number>()
  /** How often messages have begun anew: handed on, or redriven after what they did was compensated. */
  readonly #beginnings = new Map<string, number>()
  readonly #compensated = new Set<string>()
  /** How often messages were handed on. */
  readonly hops = new Map<string, number>()
  /** The ids of what handlers sent, each with its sender's; not of what was sealed by handing on. */
  readonly sends = new Map<string, string>()
  /** What was seen to be wrong at once. */
  readonly violations: Array<string> = []
  /** Callers of the process that lives, by what they wait for. */
  readonly waiting = new Set<string>()
  /** Whether a process has died and is still in the middle of a turn: what it says is not said. */
  isDeaf = false
  /** When the process began, by the time that really passes. */
  bornAtMs = 0
  /** Whether the process is being closed. */
  isClosing = false
  readonly #hash = createHash("sha256")
  readonly #keepsHistory: boolean
  /** A line for each thing that happened, where it is kept. */
  readonly history: Array<string> = []

  constructor(keepsHistory: boolean) {
    this.#keepsHistory = keepsHistory
  }

  /** A process begins. */
  born(atMs: number): void {
    this.isDeaf = false
    this.isClosing = false
    this.bornAtMs = atMs
  }

  note(atMs: number, line: string): void {
    if (this.isDeaf) return
    const text = `${atMs} ${line}`
    this.#hash.update(text).update("\n")
    if (this.#keepsHistory) this.history.push(text)
  }

  /** Of all that was noted; to be asked for once. */
  digest(): string {
    return this.#hash.digest("hex")
  }

  wrong(violation: string): void {
    if (!this.isDeaf) this.violations.push(violation)
  }

  /** A score was taken. */
  score(source: string): void {
    if (!this.isDeaf) this.scored.push(source)
  }

  accept(id: string): void {
    if (!this.isDeaf) this.accepted.push(id)
  }

  /** What is outside was asked to do something; gives how often it was, by this key. */
  began(key: string): number {
    const times = (this.#begun.get(key) ?? 0) + 1
    if (this.isDeaf) return times
    this.#begun.set(key, times)
    if (this.recorded.has(key)) this.violations.push(`${key} was done again, after it was recorded`)
    return times
  }

  /** A handler asks for a sleep; gives when it did so first. */
  asleep(key: string, atMs: number): number {
    const first = this.#asleepAtMs.get(key) ?? atMs
    if (!this.isDeaf) this.#asleepAtMs.set(key, first)
    return first
  }

  /** The key of what a message does now; what it did before its last beginning, it does anew. */
  journalOf(id: string): string {
    return `${id}/${this.#beginnings.get(id) ?? 0}`
  }

  /** A message comes to an end for which it compensates what it did. */
  compensates(id: string): void {
    this.#compensated.add(id)
  }

  redriven(id: string): void {
    this.endedAtMs.delete(id)
    if (!this.#compensated.delete(id)) return
    this.#begin(id)
    // Never sealed, and nobody's any more.
    for (const [sent, parentId] of this.sends) if (parentId === id) this.sends.delete(sent)
  }

  #begin(id: string): void {
    this.#beginnings.set(id, (this.#beginnings.get(id) ?? 0) + 1)
  }

  /** A message was handed on: what its handler sent was sent with that. */
  handOver(id: string): void {
    this.hops.set(id, (this.hops.get(id) ?? 0) + 1)
    this.#begin(id)
    for (const [sent, parentId] of this.sends) {
      if (parentId !== id) continue
      this.sends.delete(sent)
      this.accepted.push(sent)
    }
  }

  /** A chunk came to a reader; chunks say whose they are: `ID:NUMBER`. */
  readChunk(reading: Reading, chunk: string): void {
    if (this.isDeaf) return
    reading.messageId ??= chunk.slice(0, chunk.lastIndexOf(":"))
    reading.chunks.push(chunk)
  }

  /** A reader was told that it has all. */
  readAll(reading: Reading): void {
    if (!this.isDeaf) reading.complete = true
  }

  /** A reply was told, to whomever. */
  replied(id: string, reply: string): void {
    if (this.isDeaf) return
    const before = this.replies.get(id)
    if (before !== undefined && before !== reply) {
      this.violations.push(`message ${id} was answered ${before}, and later ${reply}`)
    }
    this.replies.set(id, reply)
  }

  /** An act of a handler gave `value`; it must give the same whenever it is run again. */
  recall(key: string, value: string): void {
    if (this.isDeaf) return
    const before = this.recalled.get(key)
    if (before !== undefined && before !== value) {
      this.violations.push(`act ${key} gave ${before}, and ${value} when it was run again`)
    }
    this.recalled.set(key, value)
  }
}
