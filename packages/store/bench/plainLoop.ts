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
import { delayDuring, type Result, resultOf } from "./askFor.ts"

export interface PlainLoopOptions {
  /** Created where it does not exist. */
  readonly file: string
  /** Asks under way at once. */
  readonly callers: number
  /** Arrivals per second, in place of callers who ask again when they are answered: at random moments (Poisson). */
  readonly arrivalsPerSecond?: number
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

interface Caller {
  readonly id: string
  readonly actor: string
  readonly startedMs: number
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
  if (asking.length + running.length === 0) return running
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

/** The moments of a Poisson process from `fromMs` on, one after the other. */
export const poisson = (perSecond: number, fromMs: number, random: () => number): (() => number) => {
  let atMs = fromMs
  return () => {
    atMs += (-Math.log(1 - random()) * 1_000) / perSecond
    return atMs
  }
}

/** Who asks in the next turn: whoever was just answered, or whoever has arrived. */
type Asking = (answered: ReadonlyArray<Caller>, nowMs: number) => Array<Caller>

const closedLoop = (callers: number, ask: (atMs: number) => Caller): Asking => {
  // Half of them a turn later, so that appends and answers meet in one transaction as they do among real callers.
  const late = [Math.ceil(callers / 2), Math.floor(callers / 2)]
  return (answered, nowMs) => Array.from({ length: (late.shift() ?? 0) + answered.length }, () => ask(nowMs))
}

const openLoop = (perSecond: number, random: () => number, ask: (atMs: number) => Caller): Asking => {
  const next = poisson(perSecond, performance.now(), random)
  let atMs = next()
  return (_, nowMs) => {
    const arrived: Array<Caller> = []
    for (; atMs <= nowMs; atMs = next()) arrived.push(ask(atMs))
    return arrived
  }
}

/** Runs the loop and measures it: answered asks per second, and from the ask to the answer. */
export const plainLoop = async (options: PlainLoopOptions): Promise<Result> => {
  const { arrivalsPerSecond, callers, actors } = options
  const { seconds = Number.POSITIVE_INFINITY, asks = Number.POSITIVE_INFINITY } = options
  if (!Number.isFinite(seconds) && !Number.isFinite(asks)) throw new Error("Give plainLoop seconds or asks.")
  const random = makeRandom(options.seed ?? 1)
  const ids = makeMessageIds(Date.now, Math.random)
  const body = JSON.stringify({ text: "x".repeat((options.bodyLength ?? 256) - '{"text":""}'.length) })
  const { database, close } = openDatabase(options.file)
  const statements = prepareStatements(database)
  const ask = (startedMs: number): Caller => ({
    id: ids.next(),
    actor: `${Math.floor(random() * actors)}`,
    startedMs,
  })
  const asking = arrivalsPerSecond === undefined ? closedLoop(callers, ask) : openLoop(arrivalsPerSecond, random, ask)
  const desk: Desk = { asking: asking([], performance.now()), running: [], mailboxes: new Map() }
  const durationsMs: Array<number> = []
  const startMs = performance.now()
  const endMs = startMs + seconds * 1_000
  const delayMs = await delayDuring(async () => {
    while (performance.now() < endMs && durationsMs.length < asks) {
      const answered = turn(statements, desk, body)
      const nowMs = performance.now()
      for (const caller of answered) durationsMs.push(nowMs - caller.startedMs)
      desk.asking = asking(answered, nowMs)
      await nextTurn()
    }
  })
  const elapsedMs = performance.now() - startMs
  close()
  return resultOf(durationsMs, elapsedMs, delayMs)
}
