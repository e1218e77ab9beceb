/**
 * The boundary between a seed and what will happen: a plan is everything that a simulation does to the runtime, as data,
 * so that a shorter one can be made of it. What a message does is a script; a message carries its script's number.
 */
import type { CrashPoint } from "../../ports/CrashPoints.ts"

/** What a handler can do by itself, or in a branch beside others. */
export type InnerAct =
  | { readonly do: "wait"; readonly ms: number }
  /** A step whose effect fails in its first `fails` tries, of `triesMax` in one attempt; `undoes`: it has a compensation. */
  | {
      readonly do: "step"
      readonly ms: number
      readonly fails: number
      readonly triesMax: number
      readonly undoes: boolean
    }
  /** Waits for the answer; `boldly` goes on where there is none. */
  | {
      readonly do: "ask"
      readonly to: string
      readonly script: number
      readonly boldly: boolean
      readonly terms: Terms
    }
  | { readonly do: "send"; readonly to: string; readonly script: number; readonly terms: Terms }
  /** Fails in the first `attempts` attempts. */
  | {
      readonly do: "fail"
      readonly how: "retryable" | "terminal" | "declared" | "throw"
      readonly attempts: number
    }

/** One thing that a handler does. */
export type Act =
  | InnerAct
  /** Sleeps over restarts. */
  | { readonly do: "sleep"; readonly ms: number }
  /** Does things side by side, and waits for all, or for the first. */
  | { readonly do: "all" | "race"; readonly branches: ReadonlyArray<ReadonlyArray<InnerAct>> }
  | { readonly do: "stream"; readonly to: string; readonly script: number; readonly terms: Terms }
  /** Hands its message on, unless it is there already, or was handed on before in this run. */
  | { readonly do: "forward"; readonly to: string }
  /** Puts its message aside, if its actor is shut. */
  | { readonly do: "stash" }
  /** Opens its actor, and brings back what was put aside; or shuts it. */
  | { readonly do: "gate"; readonly open: boolean }
  /** Adds to a streamed reply; does nothing in a task that does not stream. */
  | { readonly do: "emit"; readonly count: number; readonly ms: number }

/** A version of the program that a process runs. */
export interface Program {
  /** The version of the actors' states; what a higher one has written, a lower one cannot read. */
  readonly version: number
  /** The type of actor that it does not have. */
  readonly lacks: string | undefined
  /** Its handlers' steps have other names than in another revision, where their script says so. */
  readonly revision: number
}

/** What the first process runs, and the last one. */
export const PROGRAM: Program = { version: 1, lacks: undefined, revision: 0 }

export interface Script {
  readonly acts: ReadonlyArray<Act>
  /** Whether a streaming handler that runs again goes on where it was, or says it all again. */
  readonly resumes: boolean
  /** Whether its steps are named after the program's revision. */
  readonly revised: boolean
}

export interface Terms {
  readonly timeoutMs?: number
  readonly delayMs?: number
  readonly priority?: number
  readonly idempotencyKey?: string
}

/** A message that somebody outside sends, `atMs` after the start. */
export interface Call {
  readonly kind: "tell" | "ask" | "stream"
  readonly atMs: number
  readonly to: string
  readonly script: number
  readonly terms: Terms
  /** Whoever waits gives up after so many milliseconds. */
  readonly leavesAfterMs: number | undefined
}

/** Somebody comes for the streamed reply of a message that others have sent, `atMs` after the start. */
export interface Read {
  readonly kind: "read"
  readonly atMs: number
  /** Which of the messages that stream, counted round. */
  readonly nth: number
  /** The number of the first chunk. */
  readonly from: number
  /** Takes so long over each chunk, in milliseconds. */
  readonly ms: number
  /** How far the handler may be ahead. */
  readonly aheadMax: number | undefined
  /** Leaves after so many milliseconds, once, and comes back with the number of the last chunk. */
  readonly leavesAfterMs: number | undefined
}

/** What an operator does to a message of the log, `atMs` after the start. */
export type Operation = { readonly atMs: number } & (
  | /** Takes back the `nth` of the unfinished messages, counted round; also one that a handler sent. */
  { readonly kind: "cancel"; readonly nth: number }
  /** Gives the `nth` of the dead letters another life, counted round. */
  | { readonly kind: "redrive"; readonly nth: number }
  /** Scores the `nth` of all messages, counted round. */
  | { readonly kind: "feedback"; readonly nth: number; readonly score: number }
)

export type Action = Call | Read | Operation

export const isCall = (action: Action): action is Call =>
  action.kind === "tell" || action.kind === "ask" || action.kind === "stream"

/** What is done last to every actor that may have put something aside: it is opened. */
export const OPENING: Script = { acts: [{ do: "gate", open: true }], resumes: false, revised: false }
/** Its number, in every plan. */
export const OPENING_SCRIPT = -1

/** What befalls the system, at `atMs` after the start. */
export type Fault = { readonly atMs: number } /** The process is killed, and started again `downMs` later. */ & (
  | { readonly kind: "kill"; readonly downMs: number }
  /** The same, at the `occurrence`-th passing of a crash point from then on. */
  | { readonly kind: "killAt"; readonly point: CrashPoint; readonly occurrence: number; readonly downMs: number }
  /** The process drains and ends, and is started again. */
  | { readonly kind: "close"; readonly downMs: number }
  /** Killed again and again, as by a machine that has too little memory. */
  | { readonly kind: "storm"; readonly times: number; readonly everyMs: number }
  /** Killed, or drained and ended, and started again with another program. */
  | { readonly kind: "deploy"; readonly downMs: number; readonly drains: boolean; readonly program: Program }
  /** The wall clock is set: forward or back. */
  | { readonly kind: "clock"; readonly byMs: number }
  | {
      readonly kind: "refuse"
      readonly reason: "busy" | "full" | "io"
      readonly share: number
      readonly forMs: number
    }
  /** Commits take so much longer. */
  | { readonly kind: "slow"; readonly byMs: number; readonly forMs: number }
  /** Reads fail, in `share` of all. */
  | { readonly kind: "unreadable"; readonly share: number; readonly forMs: number }
  /** A target's resource dies, `times` times in a row. */
  | { readonly kind: "crash"; readonly target: string; readonly times: number; readonly everyMs: number }
  /** A target cannot be started. */
  | { readonly kind: "down"; readonly target: string; readonly forMs: number }
  /** An operator puts an actor on hold for a while, over restarts. */
  | { readonly kind: "suspend"; readonly actor: string; readonly forMs: number }
  /** An operator stops an actor, which is back with the next process. */
  | { readonly kind: "stop"; readonly actor: string }
)

export interface Plan {
  readonly seed: number
  readonly scripts: ReadonlyArray<Script>
  readonly actions: ReadonlyArray<Action>
  readonly faults: ReadonlyArray<Fault>
}
