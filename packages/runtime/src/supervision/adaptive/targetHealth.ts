/**
 * The boundary of a target's standing in its pool as a machine, and of what it means for traffic:
 *
 *     healthy ⇄ suspect        it fails, or slows down; what it runs is looked at again
 *        │         │
 *        └─▶ ejected ◀─┘       nothing is sent there, for a while that doubles
 *             │     ▲
 *             ▼     │
 *           probing ┘          one message at a time, to see
 *             │
 *             ▼
 *           warming ─▶ healthy  its slots open one by one
 *
 * Stepped when a threshold is crossed, never per message: a step of the machine costs 9-20 us, a look at the thresholds
 * less than one.
 */
import { assign, setup, transition } from "xstate"

export type HealthState = "healthy" | "suspect" | "ejected" | "probing" | "warming"

export type HealthEvent =
  | { readonly type: "TROUBLED" }
  | { readonly type: "CLEARED" }
  | { readonly type: "USELESS"; readonly atMs: number }
  | { readonly type: "PROBE_DUE" }
  | { readonly type: "PROBE_PASSED" }
  | { readonly type: "WARMED" }

interface HealthContext {
  /** No new message before this time. */
  readonly ejectedUntilMs: number
  /** How often in a row it was ejected. */
  readonly ejections: number
}

export interface TargetHealth extends HealthContext {
  readonly state: HealthState
  /** Answers since it began to be warm. */
  readonly warm: number
}

/** Probes are single messages, and one that fails is moved: the first may come soon. */
const EJECT_BASE_MS = 250
/** A target that has been away for a while is tried again within four tenths of that; with 2 it missed half of each recovery. */
const EJECT_GROWTH = 1.4
/** Long ejections lose to flapping targets; in simulation nothing was won past this. */
const EJECT_MAX_MS = 8_000

export const FRESH_HEALTH: TargetHealth = { state: "healthy", ejectedUntilMs: 0, ejections: 0, warm: 0 }

const machine = setup({
  types: { context: {} as HealthContext, events: {} as HealthEvent },
  actions: {
    eject: assign(({ context, event }) =>
      event.type === "USELESS"
        ? {
            ejections: context.ejections + 1,
            ejectedUntilMs: event.atMs + Math.min(EJECT_MAX_MS, EJECT_BASE_MS * EJECT_GROWTH ** context.ejections),
          }
        : {},
    ),
    forgive: assign({ ejections: 0, ejectedUntilMs: 0 }),
  },
}).createMachine({
  id: "health",
  context: { ejectedUntilMs: 0, ejections: 0 },
  initial: "healthy",
  on: { USELESS: { target: ".ejected", actions: "eject" } },
  states: {
    healthy: { on: { TROUBLED: "suspect" } },
    suspect: { on: { CLEARED: "healthy", PROBE_DUE: "probing" } },
    // What was sent before it was ejected still ends there, and is no news.
    ejected: { on: { PROBE_DUE: "probing", USELESS: {} } },
    probing: { on: { PROBE_PASSED: "warming" } },
    warming: { on: { WARMED: { target: "healthy", actions: "forgive" } } },
  },
})

/** The health after `event`; the same object where the machine does not move. */
export const stepHealth = (health: TargetHealth, event: HealthEvent): TargetHealth => {
  const { ejectedUntilMs, ejections } = health
  const stored = machine.resolveState({ value: health.state, context: { ejectedUntilMs, ejections } })
  const [next] = transition(machine, stored, event)
  if (next.value === health.state && next.context === stored.context) return health
  return { state: next.value, ...next.context, warm: 0 }
}
