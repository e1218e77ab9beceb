/**
 * The boundary of an actor's life as a machine: which states there are, and what leads from one to the next. Pure data
 * and XState; nothing here starts, stops or waits.
 *
 *     starting ─▶ ready ⇄ degraded        crash: ─▶ restarting ─▶ starting
 *                   │                     too many crashes: ─▶ failed
 *                   ├─▶ suspended ─▶ ready    one that let its resource go: ─▶ starting
 *                   └─▶ draining ─▶ stopped   wanted again: stopped, failed ─▶ starting
 *
 * Busy and idle are not states: they change with every message, and follow from what is running.
 */
import { assign, setup } from "xstate"
import { restartsWithin } from "../supervision/restartPolicy.ts"

export type LifecycleState =
  | "starting"
  | "ready"
  | "degraded"
  | "draining"
  | "suspended"
  | "restarting"
  | "failed"
  | "stopped"

export type LifecycleInput =
  /** Its resource is there; from now on it takes messages. */
  | { readonly type: "STARTED" }
  /** A start failed, or it died while it ran. */
  | { readonly type: "CRASHED"; readonly atMs: number }
  /** A start failed in a way that no restart can mend. */
  | { readonly type: "GAVE_UP" }
  /** It is restarted with others; that is not its own failure, and not counted. */
  | { readonly type: "RECYCLE" }
  /** The wait is over, or it is wanted again. */
  | { readonly type: "RESTART" }
  /** It works, but worse: on a fallback device, slower than its goal. */
  | { readonly type: "DEGRADED" }
  | { readonly type: "RECOVERED" }
  /** Nobody has used it for a while: its resource goes, until somebody does. */
  | { readonly type: "PASSIVATED" }
  | { readonly type: "SUSPEND" }
  | { readonly type: "RESUME" }
  /** Finish what is running, take nothing new. */
  | { readonly type: "DRAIN" }
  | { readonly type: "DRAINED" }
  | { readonly type: "STOP" }

export interface LifecycleContext {
  readonly restartsMax: number
  readonly withinMs: number
  /** When it was restarted, as far as it still counts. */
  readonly restartsAtMs: ReadonlyArray<number>
}

/** Whoever brings it back gives it a fresh budget, or its next crash would be its last. */
const wantedAgain = { target: "starting", actions: "forget" } as const
/** As one that is restarted: what comes meanwhile waits until the resource is released. */
const resting = { PASSIVATED: "restarting" } as const
const again = { target: "restarting", actions: "forget" } as const

export const lifecycle = setup({
  types: {
    context: {} as LifecycleContext,
    events: {} as LifecycleInput,
    input: {} as { readonly restartsMax: number; readonly withinMs: number },
  },
  guards: {
    restartLeft: ({ context, event }) =>
      event.type === "CRASHED" &&
      restartsWithin(context.restartsAtMs, event.atMs, context.withinMs).length < context.restartsMax,
  },
  actions: {
    forget: assign({ restartsAtMs: [] }),
    countRestart: assign(({ context, event }) => ({
      restartsAtMs:
        event.type === "CRASHED"
          ? [...restartsWithin(context.restartsAtMs, event.atMs, context.withinMs), event.atMs]
          : context.restartsAtMs,
    })),
  },
}).createMachine({
  id: "lifecycle",
  context: ({ input }) => ({ ...input, restartsAtMs: [] }),
  initial: "starting",
  on: {
    CRASHED: [{ guard: "restartLeft", actions: "countRestart", target: ".restarting" }, { target: ".failed" }],
    GAVE_UP: ".failed",
    STOP: ".stopped",
  },
  states: {
    starting: { on: { STARTED: "ready", SUSPEND: "suspended", RECYCLE: "restarting" } },
    ready: { on: { DEGRADED: "degraded", SUSPEND: "suspended", DRAIN: "draining", RECYCLE: "restarting", ...resting } },
    degraded: {
      on: { RECOVERED: "ready", SUSPEND: "suspended", DRAIN: "draining", RECYCLE: "restarting", ...resting },
    },
    // What breaks meanwhile is made anew when it is resumed.
    suspended: { on: { RESUME: "ready", RESTART: "starting", DRAIN: "draining", CRASHED: {} } },
    draining: { on: { DRAINED: "stopped", CRASHED: "stopped" } },
    restarting: { on: { RESTART: "starting", SUSPEND: "suspended", CRASHED: {}, DRAIN: "stopped" } },
    failed: { on: { RESTART: wantedAgain, RECYCLE: again, CRASHED: {}, GAVE_UP: {} } },
    stopped: { on: { RESTART: wantedAgain, CRASHED: {}, GAVE_UP: {}, STOP: {} } },
  },
})

/** States in which an actor runs messages. */
export const takesMessages = (state: LifecycleState): boolean => state === "ready" || state === "degraded"

/** States out of which an actor does not come back by itself; messages to it are refused. */
export const isGone = (state: LifecycleState): boolean =>
  state === "failed" || state === "stopped" || state === "draining"
