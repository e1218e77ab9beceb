/**
 * The boundary between a simulated pool and whoever routes in it: what a router is told, and what it may do. A router that
 * only chooses leaves the rest out.
 */
import type { SimMessage, SimTarget } from "./SimMessage.ts"

/** What a router sees of a simulation; only the informed one looks at `truth`, and at what attempts need. */
export interface PoolView {
  readonly nowMs: number
  /** For the router's own choices; what happens does not depend on it. */
  readonly random: () => number
  readonly targets: ReadonlyArray<SimTarget>
  /** Looks again at everything that waits or runs at a target. */
  readonly reviewAll: (target: number) => void
}

/** Where a message goes. */
export type Placement =
  | { readonly _tag: "To"; readonly target: number; readonly reviewAfterMs?: number }
  /** Told at once; only what has just arrived may be refused. */
  | { readonly _tag: "Refuse"; readonly retryAfterMs: number }
  | { readonly _tag: "Later"; readonly waitMs: number }

/** What becomes of an attempt that waits or runs. */
export type Review =
  | { readonly _tag: "Stay"; readonly reviewAfterMs?: number }
  /** It is cancelled, and begun anew elsewhere. */
  | { readonly _tag: "Move"; readonly target: number; readonly reviewAfterMs?: number }
  /** It goes on, and a second one beside it; the first that answers wins. */
  | { readonly _tag: "Hedge"; readonly target: number; readonly reviewAfterMs?: number }

export type AttemptEnd = "answered" | "failed" | "cancelled" | "expired"

export interface Router {
  readonly name: string
  /** Whether the work for a caller who has gone is stopped. */
  readonly cancelsAtDeadline: boolean
  /** Attempts of a message, at most. */
  readonly attemptsMax: number
  readonly place: (simulation: PoolView, message: SimMessage) => Placement
  readonly review?: (
    simulation: PoolView,
    message: SimMessage,
    target: number,
    startedAtMs: number | undefined,
  ) => Review
  readonly assigned?: (simulation: PoolView, message: SimMessage, target: number) => void
  readonly began?: (simulation: PoolView, message: SimMessage, target: number) => void
  readonly ended?: (
    simulation: PoolView,
    message: SimMessage,
    target: number,
    end: AttemptEnd,
    /** Undefined where it never began. */
    startedAtMs: number | undefined,
  ) => void
  /** A message is over. */
  readonly settled?: (simulation: PoolView, message: SimMessage, wasInTime: boolean) => void
  /** A target has changed; only a router that knows the true state hears of it. */
  readonly changed?: (simulation: PoolView, target: number) => void
}
