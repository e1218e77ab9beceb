/**
 * The boundary between what is written and its judges: looks at every commit as it is asked for and as it is applied, by
 * the time that really passes, which the log does not know where the wall clock steps.
 */
import { isFinal, type MessageRow } from "../../message/Envelope.ts"
import type { Claim, RecordStep, Write } from "../../ports/Write.ts"
import { isBefore } from "../checkJournals.ts"
import type { MemoryLog } from "../MemoryLog.ts"
import type { DiskWatcher } from "./SimulatedDisk.ts"
import type { SimulatedTime } from "./SimulatedTime.ts"
import { AGEING_MS } from "./simulatedAddresses.ts"
import type { Witness } from "./Witness.ts"

/** After this, in milliseconds, whoever asked for a commit has been told that it is written. */
const TOLD_MS = 3

const keyOf = ({ actorId, actorType, idempotencyKey, pool, task }: MessageRow): string =>
  JSON.stringify([pool ?? `${actorType}/${actorId}`, task, idempotencyKey])

/** Whether the message waits in its lane, as far as the log can say: not put off, never tried, nothing about it under way. */
const isPlain = ({ attempt, createdAtMs, deliverAtMs }: MessageRow): boolean =>
  attempt === 0 && deliverAtMs <= createdAtMs

/** The lower one runs first: when a message began to wait, less what its priority is worth. */
const rankOf = ({ createdAtMs, priority }: MessageRow): number => createdAtMs - priority * AGEING_MS

export class DiskWitness implements DiskWatcher {
  readonly #witness: Witness
  readonly #time: SimulatedTime
  readonly #log: MemoryLog
  /** When each message was written, by the time that really passes. */
  readonly #writtenAtMs = new Map<string, number>()
  /** The act that was compensated last, by its message's journal. */
  readonly #undoneLast = new Map<string, number>()
  /** The message that answers for a key. */
  readonly #holders = new Map<string, string>()

  constructor(witness: Witness, time: SimulatedTime, log: MemoryLog) {
    this.#witness = witness
    this.#time = time
    this.#log = log
  }

  asked(writes: ReadonlyArray<Write>): void {
    const { unordered } = this.#witness
    for (const write of writes) {
      if (write._tag === "Append" && write.message.deliverAtMs > write.message.createdAtMs) {
        unordered.add(write.message.id)
      }
      if (write._tag === "Redrive" || write._tag === "Forward" || write._tag === "Postpone")
        unordered.add(write.messageId)
      // What is claimed in this very turn; a commit that was refused is asked for again later.
      if (write._tag === "Claim" && write.atMs === this.#time.wallMs) this.#claiming(write)
    }
  }

  done(writes: ReadonlyArray<Write>, result: string): void {
    this.#witness.note(this.#time.nowMs, `commit ${result} ${JSON.stringify(writes)}`)
    if (result !== "written") return
    for (const write of writes) {
      if (write._tag === "Append") this.#appended(write.message.id)
      if (write._tag === "Claim" && write.attempt === 1) this.#claimed(write.messageId)
      if (write._tag === "Settle") this.#settled(write.messageId, write.status)
      if (write._tag === "RecordStep") this.#recorded(write)
      if (write._tag === "Forward") this.#witness.handOver(write.messageId)
      if (write._tag === "Redrive") this.#witness.redriven(write.messageId)
    }
  }

  /** A key passes on only from a message that has ended. */
  #appended(id: string): void {
    const row = this.#log.messages.get(id)
    if (row === undefined || this.#writtenAtMs.has(id)) return
    this.#writtenAtMs.set(id, this.#time.nowMs)
    if (row.idempotencyKey === null) return
    const key = keyOf(row)
    const before = this.#log.messages.get(this.#holders.get(key) ?? "")
    this.#holders.set(key, id)
    if (before !== undefined && !isFinal(before.status)) {
      this.#witness.wrong(`message ${id} took the key of ${before.id}, which is ${before.status}`)
    }
  }

  /**
   * Of the first of each priority, the one runs that has waited longest for what its priority is worth. Looked at only
   * where the log says all that the mailbox knows: nothing of the actor was put off or tried before, no clock was set, no
   * process is closing, and all of it was accepted in this process.
   */
  #claiming({ attempt, messageId }: Claim): void {
    const { bornAtMs, isClosing, unordered } = this.#witness
    const claimed = this.#log.messages.get(messageId)
    if (claimed === undefined || attempt > 1 || this.#time.isStepped || isClosing) return
    const { actorId, actorType, pool } = claimed
    if (pool !== null) return
    const first = new Map<number, MessageRow>()
    for (const row of this.#log.messages.values()) {
      if (row.status !== "pending" || row.actorId !== actorId || row.actorType !== actorType) continue
      const writtenAtMs = this.#writtenAtMs.get(row.id) ?? 0
      if (!isPlain(row) || writtenAtMs < bornAtMs || unordered.has(row.id)) return
      if (writtenAtMs + TOLD_MS < this.#time.nowMs && !first.has(row.priority)) first.set(row.priority, row)
    }
    for (const row of first.values()) {
      if (row.priority === claimed.priority || rankOf(row) >= rankOf(claimed)) continue
      const [mine, other] = [claimed, row].map(
        (each) => `${each.id} (priority ${each.priority}, of ${each.createdAtMs})`,
      )
      this.#witness.wrong(`${actorType}/${actorId} runs ${mine} before ${other}`)
    }
  }

  #claimed(id: string): void {
    const dueAtMs = this.#log.messages.get(id)?.deliverAtMs ?? 0
    if (dueAtMs > this.#time.latestWallMs) {
      this.#witness.wrong(`message ${id} was run at ${this.#time.latestWallMs}, and is due at ${dueAtMs}`)
    }
  }

  /** What is recorded is not done again; a compensation is recorded under the number of its step. */
  #recorded({ kind, messageId, name, ordinal }: RecordStep): void {
    if (kind === "end" && name !== "forwarded") this.#witness.compensates(messageId)
    if (kind === "step" || kind === "undoable") this.#witness.recorded.add(`${messageId}.${ordinal}`)
    if (kind === "undo") this.#undone(messageId, -1 - ordinal)
    if (kind === "undo") this.#witness.recorded.add(`${messageId}.${-1 - ordinal}~undo`)
  }

  /** The last step's compensation comes first. */
  #undone(messageId: string, ordinal: number): void {
    const key = this.#witness.journalOf(messageId)
    const before = this.#undoneLast.get(key)
    this.#undoneLast.set(key, ordinal)
    if (before !== undefined && !isBefore(ordinal, before)) {
      this.#witness.wrong(`message ${messageId} compensated act ${before} before the later ${ordinal}`)
    }
  }

  #settled(id: string, status: string): void {
    this.#witness.endedAtMs.set(id, this.#time.nowMs)
    const deadlineAtMs = this.#log.messages.get(id)?.deadlineAtMs ?? null
    if (status === "expired" && (deadlineAtMs === null || deadlineAtMs > this.#time.latestWallMs)) {
      this.#witness.wrong(`message ${id} expired at ${this.#time.latestWallMs}, before its deadline ${deadlineAtMs}`)
    }
  }
}
