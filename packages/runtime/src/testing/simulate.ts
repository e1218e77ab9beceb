/**
 * The boundary to a whole life in a moment: the real `ActorSystem` on a log in memory, with simulated time, chance and disk,
 * everything from one seed. The same seed gives the same history, byte for byte.
 *
 * What goes wrong, all of it drawn from the seed:
 * - the process is killed, at any moment and at every name of `CRASH_POINTS`, between a commit and its callers' being told
 *   too, once or many times in a row, and started again on what was committed; or it is closed, and drains first
 * - it is replaced by another version of the program: one with other step names, without a type of actor, with an older or a
 *   newer version of the actors' states
 * - the wall clock is set forward or back, by milliseconds or by hours
 * - the disk takes its time, is slow for a while, refuses some or all commits for a while (busy, full, io), cannot be read
 * - handlers wait, fail so that they are retried or not, fail as they declared, throw; in any of their attempts
 * - resources of actors die, once or again and again, and cannot be had for a while: the actors are restarted, given up,
 *   escalate, and make the system give up; actors are stopped
 * - callers leave before they are answered, take messages back, redrive dead letters, score, use a key twice for the same
 *   message and for another, within its window and after it
 * - readers of streams come late, are slow, leave, and come back with the number of their last chunk, also to the next process
 * - messages are put aside, and brought back; and handed on, once, or round in a circle
 * - steps fail and are tried again, with compensations, in branches side by side and in races; sleeps, short and long
 * - mailboxes of a few places that refuse, make wait, or drop the oldest; actors are put on hold, over restarts
 * - deadlines, delays and priorities of all sizes, with ageing; backlogs that are read back two messages at a time
 *
 * What does not: writes are never torn and never lost once told (that is the disk's promise, and `test/crash` of the store
 * looks at it), and one process at a time opens the log.
 *
 * When the last action is done the faults end, everything must come to its end, and `judge` looks at all of it; as it does
 * at the log after each death.
 */
import { Effect } from "effect"
import { isFinal } from "../message/Envelope.ts"
import type { Write } from "../ports/Write.ts"
import type { MemoryLog } from "./MemoryLog.ts"
import { judge } from "./simulation/judge.ts"
import { makePlan } from "./simulation/makePlan.ts"
import type { Plan } from "./simulation/Plan.ts"
import { SimulatedCluster } from "./simulation/SimulatedCluster.ts"
import { Witness } from "./simulation/Witness.ts"

export interface SimulateOptions {
  /** Things done from outside. Default 30: most of what is found is found with few, and shown shorter. */
  readonly messages?: number
  /** Keeps a line for everything that happens. Default false. */
  readonly history?: boolean
  /** What the disk writes in place of its `nth` commit, to see the checkers find it. Default: what was asked for. */
  readonly tamper?: (writes: ReadonlyArray<Write>, nth: number) => ReadonlyArray<Write>
}

export interface Simulated {
  readonly plan: Plan
  /** One sentence each; none where all is well. */
  readonly violations: ReadonlyArray<string>
  /** SHA-256 of the history. */
  readonly digest: string
  readonly history: ReadonlyArray<string>
  /** Messages in the log at the end. */
  readonly messages: number
  /** The same, by how they ended. */
  readonly ends: Readonly<Record<string, number>>
  readonly commits: number
  /** Processes that were started. */
  readonly processes: number
  /** Milliseconds from the start to the end, in simulated time. */
  readonly elapsedMs: number
}

const MESSAGES_DEFAULT = 30
/** How often it is asked whether all is done, and for how long at most; the longest delay is five seconds. */
const POLL_MS = 100
const DRAIN_MS_MAX = 120_000

const countEnds = ({ messages }: MemoryLog): Record<string, number> => {
  const ends: Record<string, number> = {}
  for (const { status } of messages.values()) ends[status] = (ends[status] ?? 0) + 1
  return ends
}

/** Runs a plan to its end. */
export const simulatePlan = (plan: Plan, options: SimulateOptions = {}): Simulated => {
  // Causes are in the log, and so in the history: where the sources lie is not to be.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return runPlan(plan, options)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

const runPlan = (plan: Plan, options: SimulateOptions): Simulated => {
  const witness = new Witness(options.history ?? false)
  let violations: ReadonlyArray<string> = []
  const stepped = plan.faults.some(({ kind }) => kind === "clock")
  const look = (drained: boolean): void => {
    if (violations.length > 0) return
    violations = judge(disk.log, witness, { drained, closed: cluster.closes > 0, stepped })
  }
  const cluster: SimulatedCluster = new SimulatedCluster(plan, witness, () => look(false))
  const { disk, time } = cluster
  if (options.tamper !== undefined) disk.tamper = options.tamper
  const startedAtMs = time.nowMs
  let over = false
  const finish = (): void => {
    over = true
    look(true)
    if (violations.length === 0 && cluster.held.length > 0) violations = [`${cluster.held} were never let go`]
  }
  const poll = (untilMs: number): void => {
    const system = cluster.serving
    // What is due later, or not read back yet, is on disk alone.
    const isIdle = system !== undefined && witness.waiting.size === 0 && Effect.runSync(system.unfinished) === 0
    const isDone = isIdle && [...disk.log.messages.values()].every(({ status }) => isFinal(status))
    if (isDone) cluster.close(finish)
    else if (time.nowMs > untilMs) finish()
    else time.at(time.nowMs + POLL_MS, () => poll(untilMs))
  }
  const lastMs = Math.max(0, ...plan.actions.map(({ atMs }) => atMs), ...plan.faults.map(({ atMs }) => atMs))
  time.at(startedAtMs + lastMs + 1, () => {
    cluster.calm()
    poll(time.nowMs + DRAIN_MS_MAX)
  })
  time.run(() => over || violations.length > 0)
  if (!over && violations.length === 0) violations = ["the simulation stood still before its end"]
  return {
    plan,
    violations,
    digest: witness.digest(),
    history: witness.history,
    ends: countEnds(disk.log),
    messages: disk.log.messages.size,
    commits: disk.commits,
    processes: cluster.lives,
    elapsedMs: time.nowMs - startedAtMs,
  }
}

/** Runs what `seed` says. */
export const simulate = (seed: number, options: SimulateOptions = {}): Simulated =>
  simulatePlan(makePlan(seed, options.messages ?? MESSAGES_DEFAULT), options)
