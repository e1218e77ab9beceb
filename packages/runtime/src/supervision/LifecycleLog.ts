/**
 * The boundary between what becomes of actors and the log of it: changes are written in the order in which they happened,
 * also while the store refuses some, and nobody waits for them. With an end goes the news of it, in the same commit.
 */
import { Effect, Exit } from "effect"
import { commitPatiently } from "../life/commit.ts"
import { LiveMessage } from "../life/LiveMessage.ts"
import { isOver } from "../life/reply.ts"
import type { System } from "../life/System.ts"
import { occupyPlace, releasePlace } from "../life/waiting/places.ts"
import { type Address, formatAddress } from "../message/Address.ts"
import type { ReadFailure } from "../ports/StoreFailure.ts"
import type { Write } from "../ports/Write.ts"
import { type End, endOf, type Obituary, obituaryOf } from "./obituaries.ts"

/** The wait between tries of a read that the store cannot answer now, in milliseconds. */
const READ_AGAIN_MS = 200

/** What is done about an end once it is written. */
export interface Mourners {
  readonly enqueue: (message: LiveMessage) => void
  /** An actor is linked to one that has ended. */
  readonly endLinked: (linked: Address, end: End) => void
}

export class LifecycleLog {
  readonly #system: System
  readonly #mourners: Mourners
  #unwritten: Array<Write> = []
  /** Ends among what is unwritten, and actors whose end is to be looked up. */
  #ends: Array<End> = []
  #maybeEnded: Array<Address> = []
  #writing = false

  constructor(system: System, mourners: Mourners) {
    this.#system = system
    this.#mourners = mourners
  }

  /** @param ends whoever watches them is told in the same commit */
  write(writes: ReadonlyArray<Write>, ends: ReadonlyArray<End> = []): void {
    this.#unwritten.push(...writes)
    this.#ends.push(...ends)
    if (!this.#writing) this.#flush()
  }

  /** Tells whoever watches the actor, if it has ended already. */
  lookAt(addresses: ReadonlyArray<Address>): void {
    this.#maybeEnded.push(...addresses)
    if (!this.#writing) this.#flush()
  }

  /** One commit at a time, each with all that gathered during the one before. */
  #flush(): void {
    const writes = this.#unwritten
    const ends = this.#ends
    const maybe = this.#maybeEnded
    this.#unwritten = []
    this.#ends = []
    this.#maybeEnded = []
    this.#writing = writes.length + ends.length + maybe.length > 0
    if (!this.#writing) return
    const written =
      ends.length + maybe.length === 0
        ? Effect.asVoid(commitPatiently(this.#system, writes))
        : this.#commitEnds(writes, ends, maybe)
    this.#system.fork(
      written.pipe(
        Effect.catch((failure) =>
          isOver(this.#system, failure)
            ? Effect.void
            : Effect.logError(`A lifecycle change was not written: ${failure.message}`),
        ),
        Effect.ensuring(Effect.sync(() => this.#flush())),
        Effect.uninterruptible,
      ),
    )
  }

  readonly #commitEnds = Effect.fnUntraced(function* (
    this: LifecycleLog,
    writes: ReadonlyArray<Write>,
    ends: ReadonlyArray<End>,
    maybe: ReadonlyArray<Address>,
  ) {
    const system = this.#system
    const patiently = <A>(read: Effect.Effect<A, ReadFailure>): Effect.Effect<A, ReadFailure> =>
      Effect.catchTag(read, "RetryableStoreFailure", (failure) =>
        system.closed ? Effect.fail(failure) : Effect.andThen(Effect.sleep(READ_AGAIN_MS), patiently(read)),
      )
    const found = new Map<string, Obituary>()
    // Once an actor: the watches that each looks at are dropped by the commit of all of them.
    for (const end of ends) {
      const key = formatAddress(end.address)
      if (!found.has(key)) found.set(key, yield* patiently(obituaryOf(system, end)))
    }
    for (const address of maybe) {
      const key = formatAddress(address)
      const end = found.has(key) ? undefined : yield* patiently(endOf(system, address))
      if (end !== undefined) found.set(key, yield* patiently(obituaryOf(system, end)))
    }
    // What comes to those actors now comes after it.
    const cells = [...found.values()].flatMap(({ told }) => told.map(({ cell }) => system.registry.keep(cell)))
    for (const cell of cells) {
      occupyPlace(system, cell)
      cell.arriving++
    }
    const written = yield* Effect.exit(
      commitPatiently(system, [...writes, ...[...found.values()].flatMap((each) => each.writes)]),
    )
    for (const cell of cells) {
      releasePlace(system, cell)
      cell.arriving--
    }
    if (Exit.isFailure(written)) return yield* written
    for (const { end, linked, told } of found.values()) {
      for (const { cell, envelope } of told) {
        const message = new LiveMessage(envelope, system.registry.keep(cell), 0, "waiting", system.nextOrder++)
        system.live.set(message.id, message)
        this.#mourners.enqueue(message)
      }
      for (const address of linked) this.#mourners.endLinked(address, end)
    }
  })
}
