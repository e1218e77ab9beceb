/**
 * The boundary between what is written and its judges: looks at every commit as it is asked for and as it is applied, by
 * the time that really passes, which the log does not know where the wall clock steps.
 */
import type { Write } from "../../ports/Write.ts"
import type { MemoryLog } from "../MemoryLog.ts"
import type { DiskWatcher } from "./SimulatedDisk.ts"
import type { SimulatedTime } from "./SimulatedTime.ts"
import type { Witness } from "./Witness.ts"

export class DiskWitness implements DiskWatcher {
  readonly #witness: Witness
  readonly #time: SimulatedTime

  constructor(witness: Witness, time: SimulatedTime) {
    this.#witness = witness
    this.#time = time
  }

  /** @see Witness.unordered */
  asked(writes: ReadonlyArray<Write>): void {
    const { unordered } = this.#witness
    for (const write of writes) {
      if (write._tag === "Append" && write.message.deliverAtMs > write.message.createdAtMs) {
        unordered.add(write.message.id)
      }
      if (write._tag === "Redrive") unordered.add(write.messageId)
      if (write._tag === "Settle" && (write.status === "cancelled" || write.status === "expired")) {
        unordered.add(write.messageId)
      }
    }
  }

  done(writes: ReadonlyArray<Write>, result: string, log: MemoryLog): void {
    this.#witness.note(this.#time.nowMs, `commit ${result} ${JSON.stringify(writes)}`)
    if (result !== "written") return
    for (const write of writes) {
      if (write._tag === "Claim" && write.attempt === 1) this.#claimed(write.messageId, log)
      if (write._tag === "Settle") this.#settled(write.messageId, write.status, log)
      if (write._tag === "Redrive") this.#witness.endedAtMs.delete(write.messageId)
    }
  }

  /** The latest time that the wall clock has shown: what was due then, or late, is so for good. */
  get #latestMs(): number {
    return Math.max(this.#time.wallMs, this.#time.wallMsMax)
  }

  #claimed(id: string, log: MemoryLog): void {
    const dueAtMs = log.messages.get(id)?.deliverAtMs ?? 0
    if (dueAtMs > this.#latestMs)
      this.#witness.wrong(`message ${id} was run at ${this.#latestMs}, and is due at ${dueAtMs}`)
  }

  #settled(id: string, status: string, log: MemoryLog): void {
    this.#witness.endedAtMs.set(id, this.#time.nowMs)
    const deadlineAtMs = log.messages.get(id)?.deadlineAtMs ?? null
    if (status === "expired" && (deadlineAtMs === null || deadlineAtMs > this.#latestMs)) {
      this.#witness.wrong(`message ${id} expired at ${this.#latestMs}, before its deadline ${deadlineAtMs}`)
    }
  }
}
