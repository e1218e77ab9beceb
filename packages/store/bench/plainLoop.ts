/**
 * The limit that the runtime is measured against: the same asks on the same schema, indexes and durability, by the same
 * SQL in a plain loop. No Effect, no fibers, no mailbox but an array, no supervision.
 *
 * One ask is what it is for the runtime: the message is appended (claimed, where its actor is free) and committed; then it
 * is settled with a reply, the actor's state is written, the next message of the mailbox is claimed, and that is
 * committed; then the caller is told, and asks again. Whatever is ready in one turn of the event loop shares a
 * transaction.
 */
import { makeMessageIds } from "@pontoon/runtime"
import { openDatabase } from "../src/openDatabase.ts"
import { prepareStatements, type Statements } from "../src/statements.ts"

export interface PlainLoopOptions {
  /** Created where it does not exist. */
  readonly file: string
  /** Asks under way at once. */
  readonly callers: number
  /** Actors that they are spread over, at random. */
  readonly actors: number
  /** How long to run; or, with `asks`, until so many are answered. */
  readonly seconds?: number
  readonly asks?: number
  /** Of a body, a reply and a state, in characters. Default 256. */
  readonly bodyLength?: number
  /** Of the choice of actors. Default 1. */
  readonly seed?: number
}

export interface PlainLoopResult {
  readonly asksPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

interface Caller {
  id: string
  actor: string
  startedMs: number
}

/** xorshift32: the same sequence of actors for the same seed. */
const makeRandom = (seed: number): (() => number) => {
  let state = seed | 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

const append = (statements: Statements, caller: Caller, body: string, isClaimed: boolean, nowMs: number): void => {
  statements.append.run(
    caller.id,
    "bench",
    caller.actor,
    null,
    "ask",
    "json",
    isClaimed ? "running" : "pending",
    0,
    isClaimed ? 1 : 0,
    nowMs,
    nowMs,
    null,
    isClaimed ? nowMs : null,
    null,
    caller.id,
    null,
    null,
    null,
    caller.id,
    body,
  )
}

const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN

/** Callers and what they wait for, between two transactions. */
interface Desk {
  asking: Array<Caller>
  running: Array<Caller>
  /** Per busy actor, the callers behind the one that it works for. */
  readonly mailboxes: Map<string, Array<Caller>>
}

/** One transaction of everything that is ready; gives back the callers that are answered by it. */
const turn = (statements: Statements, desk: Desk, body: string): Array<Caller> => {
  const nowMs = Date.now()
  const { asking, running, mailboxes } = desk
  desk.running = []
  desk.asking = []
  statements.begin.run()
  for (const caller of asking) {
    const mailbox = mailboxes.get(caller.actor)
    append(statements, caller, body, mailbox === undefined, nowMs)
    if (mailbox === undefined) {
      mailboxes.set(caller.actor, [])
      desk.running.push(caller)
    } else mailbox.push(caller)
  }
  for (const caller of running) {
    const { id, actor } = caller
    if (statements.settle.run("done", body, null, nowMs, id, 1).changes !== 1) throw new Error(`${id} was not running`)
    statements.putActor.run("bench", actor, "ready", body, 1, 0, nowMs)
    const next = mailboxes.get(actor)?.shift()
    if (next === undefined) mailboxes.delete(actor)
    else {
      statements.claim.run(1, nowMs, next.id, 0)
      desk.running.push(next)
    }
  }
  statements.commit.run()
  return running
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Runs the loop and measures it: answered asks per second, and from the ask to the answer. */
export const plainLoop = async (options: PlainLoopOptions): Promise<PlainLoopResult> => {
  const { callers, actors, seconds = Number.POSITIVE_INFINITY, asks = Number.POSITIVE_INFINITY } = options
  if (!Number.isFinite(seconds) && !Number.isFinite(asks)) throw new Error("Give plainLoop seconds or asks.")
  const random = makeRandom(options.seed ?? 1)
  const ids = makeMessageIds(Date.now, Math.random)
  const body = JSON.stringify({ text: "x".repeat((options.bodyLength ?? 256) - '{"text":""}'.length) })
  const { database, close } = openDatabase(options.file)
  const statements = prepareStatements(database)
  const ask = (caller: Caller): Caller => {
    caller.id = ids.next()
    caller.actor = `${Math.floor(random() * actors)}`
    caller.startedMs = performance.now()
    return caller
  }
  const all = Array.from({ length: callers }, () => ask({ id: "", actor: "", startedMs: 0 }))
  // Half of them a turn later, so that appends and answers meet in one transaction as they do among real callers.
  const late = all.splice(Math.ceil(callers / 2))
  const desk: Desk = { asking: all, running: [], mailboxes: new Map() }
  const durations: Array<number> = []
  const startMs = performance.now()
  const endMs = startMs + seconds * 1_000
  while (performance.now() < endMs && durations.length < asks) {
    const answered = turn(statements, desk, body)
    const nowMs = performance.now()
    for (const caller of answered) {
      durations.push(nowMs - caller.startedMs)
      desk.asking.push(ask(caller))
    }
    desk.asking.push(...late.splice(0).map(ask))
    await nextTurn()
  }
  const elapsedSeconds = (performance.now() - startMs) / 1_000
  close()
  const sorted = durations.sort((a, b) => a - b)
  return {
    asksPerSecond: sorted.length / elapsedSeconds,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
  }
}
