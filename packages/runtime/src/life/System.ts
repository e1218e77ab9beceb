/**
 * The boundary of one running system: what it is made of, and everything it holds in memory.
 */
import type { Context, Effect, Fiber } from "effect"
import type { AnyActor } from "../actor/Actor.ts"
import type { Registry } from "../actor/Registry.ts"
import type { MessageIds } from "../message/MessageId.ts"
import type { CrashPointHook } from "../ports/CrashPoints.ts"
import type { MessageStore } from "../ports/MessageStore.ts"
import type { PoolMemory } from "../supervision/adaptive/PoolMemory.ts"
import type { AnyPool } from "../supervision/Pool.ts"
import type { Askers } from "./Askers.ts"
import type { IdMap } from "./IdMap.ts"
import type { LiveCell, LiveMessage } from "./LiveMessage.ts"
import type { LaterShelf, UnreadShelf } from "./shelf/Shelves.ts"
import type { ChunkClock } from "./streams/ChunkClock.ts"
import type { Watches } from "./Watches.ts"

export interface Settings {
  /** Largest encoded body, in bytes of UTF-8. Default 1 MiB. Raising it makes every read of the log costlier. */
  readonly messageBytesMax: number
  /**
   * Largest encoded state of an actor, in bytes of UTF-8. Default 1 MiB: it is written with every message that sets it.
   * Raising it makes those messages slower. Half of it is warned of.
   */
  readonly stateBytesMax: number
  /**
   * Largest journal of a message: results and names of its steps together, in bytes of UTF-8. Default 8 MiB, which is read
   * back into memory whenever the handler runs again. Half of it is warned of.
   */
  readonly journalBytesMax: number
  /** Most recorded steps of a message. Default 10,000: each is a commit, and a row. Half of it is warned of. */
  readonly journalStepsMax: number
  /** Idle actors kept in memory; the least used go first. Default 10,000. Raising it costs memory and saves a read at their next message. */
  readonly residentMax: number
  /**
   * How long an actor that nobody uses stays in memory, in milliseconds, from 1,000 on; it leaves up to a quarter later.
   * Default 600,000 (ten minutes). Raising it costs memory, and saves a read at the next message. Actors with a start stay,
   * unless they have an `idleMsMax` of their own.
   */
  readonly idleMsMax: number
  /**
   * Messages of a former process, and as many that are due soon, that are read back before others have ended. Default
   * 1,000, at least 1. Raising it to 10,000 drains a third faster and takes 100 MB more, most of it garbage that has grown
   * old before it is collected.
   */
  readonly readAheadMax: number
  /** How long `close` waits for running handlers, in milliseconds. Default 10,000. */
  readonly drainMsMax: number
  /** Failures that may be escalated to the system within a minute before it closes itself. Default 3. */
  readonly escalationsMax: number
  /** Actors that may be suspended at a time. Default 10,000. Raising it costs memory: each is kept there. */
  readonly suspendedMax: number
  /**
   * Messages that may wait in memory, over all actors; one more is refused with `RetryableSystemFull`, whatever its actor's
   * mailbox would do. Default 200,000, from 1. Raising it costs memory: about 1 KB for each, and its body.
   */
  readonly waitingMax: number
  /**
   * How long an idempotency key answers, in milliseconds from the acceptance of its first message; one that has not ended
   * answers for longer. Default 604,800,000 (7 days), from 1,000 to 31,536,000,000 (365 days). Raising it keeps keys from
   * being used again for longer; a store's retention must keep messages for as long.
   */
  readonly keyWindowMs: number
  /**
   * How long chunks of streamed replies wait for others to share a commit with, in milliseconds. Default 50, from 0 to
   * 1,000. The first chunk of a reply never waits, nor does one that comes alone. Raising it makes a stream cheaper and
   * its readers later; 0 writes in every turn of the loop.
   */
  readonly chunkLingerMs: number
}

/** A second outlasts no retry of a caller; a year outlasts every one. */
export const KEY_WINDOW_MS = { min: 1_000, max: 365 * 86_400_000 }

export const SETTINGS_DEFAULT: Settings = {
  messageBytesMax: 1024 * 1024,
  stateBytesMax: 1024 * 1024,
  journalBytesMax: 8 * 1024 * 1024,
  journalStepsMax: 10_000,
  residentMax: 10_000,
  // A conversation that pauses for longer is as good as a new one.
  idleMsMax: 600_000,
  readAheadMax: 1_000,
  drainMsMax: 10_000,
  escalationsMax: 3,
  suspendedMax: 10_000,
  // Some 200 MB with small bodies: the memory that a service can spare, and seconds to minutes of work for one process.
  waitingMax: 200_000,
  // What is redelivered (webhooks, queues) is so for three days at most places; the store's retention keeps keys as long.
  keyWindowMs: 7 * 86_400_000,
  // Twenty times a second is often enough for an eye; every 20 ms costs 40 % more processor time a token.
  chunkLingerMs: 50,
}

export interface LivePool {
  readonly pool: AnyPool
  readonly cells: ReadonlyArray<{ readonly cell: LiveCell; readonly tier: number }>
  /** What is remembered of its targets, which are known by their addresses in written form. */
  readonly memory: PoolMemory
}

export interface System {
  readonly store: MessageStore["Service"]
  readonly settings: Settings
  readonly actors: ReadonlyMap<string, AnyActor>
  readonly pools: ReadonlyMap<string, LivePool>
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** A number in [0, 1). */
  readonly random: () => number
  readonly ids: MessageIds
  readonly crashPoint: CrashPointHook
  /** What the actors' handlers and starts need. */
  readonly services: Context.Context<unknown>
  /**
   * Runs an effect in a fiber of its own, up to its first wait before this returns. Nobody joins these fibers: `drain`
   * interrupts handlers and alarms, and a commit ends by itself. (A FiberSet would also wait for the one handler that
   * cannot be interrupted, and so would closing.)
   */
  readonly fork: <A, E>(effect: Effect.Effect<A, E, unknown>, options?: Effect.RunOptions) => Fiber.Fiber<A, E>
  readonly registry: Registry<LiveMessage>
  /** Every message that is accepted and not ended, by id. */
  readonly live: IdMap<LiveMessage>
  /** What a former process left and is not read yet; undefined once there is nothing of it. */
  backlog: UnreadShelf | undefined
  /** What is due much later; there as soon as the system is open. */
  agenda: LaterShelf | undefined
  /** Messages on disk alone that somebody takes back, or redrives: nobody reads them back meanwhile. */
  readonly reserved: Set<string>
  readonly askers: Askers
  readonly watches: Watches
  readonly chunkClock: ChunkClock
  /** Counts accepted messages; see `LiveMessage.order`. */
  nextOrder: number
  /** Timers that have not rung. */
  readonly alarms: Set<Fiber.Fiber<void>>
  /** Nothing new is accepted or begun, but for what a running handler waits for. */
  closing: boolean
  /** The time for that is over too: nothing will be answered any more. */
  closed: boolean
}
