/**
 * The boundary to time and to the processor: one queue of what can run now, one of what waits for its time. Nothing of the
 * machine's own clock or event loop comes in, so a run is over as fast as it can be computed, and is the same each time.
 *
 * A `SimulatedProcess` is what dies. Its fibers run by a Scheduler and a Clock that both end with it: after `kill` no line
 * of its code is run again, no finalizer either, as after SIGKILL.
 */
import { type Clock, Duration, Effect, type Scheduler } from "effect"

interface Timer {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
  cancelled: boolean
}

const isBefore = (a: Timer, b: Timer): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

/** Runs of a plan take tens of thousands; one that takes so many goes round in a circle. */
const TASKS_MAX = 5_000_000

export class SimulatedTime {
  /** Milliseconds since the epoch; begins at a time at which ids have their ordinary length. */
  nowMs = 1_700_000_000_000
  /** How far the wall clock has been stepped from the time that really passes. */
  wallSkewMs = 0
  /** The latest time that the wall clock has shown. */
  wallMsMax = 0
  tasks = 0
  #ready: Array<() => void> = []
  /** A binary heap, by time and then in the order of setting. */
  readonly #timers: Array<Timer> = []
  #order = 0

  /** Whether the wall clock was ever set. */
  get isStepped(): boolean {
    return this.wallMsMax > 0
  }

  /** What the wall clock shows; timers do not run by it. */
  get wallMs(): number {
    return this.nowMs + this.wallSkewMs
  }

  /** The latest time that the wall clock has shown: what was due then, or late, is so for good. */
  get latestWallMs(): number {
    return Math.max(this.wallMs, this.wallMsMax)
  }

  /** Steps the wall clock, as an operator or a time server does. */
  stepWall(byMs: number): void {
    this.wallMsMax = Math.max(this.wallMsMax, this.wallMs)
    this.wallSkewMs += byMs
  }

  soon(task: () => void): void {
    this.#ready.push(task)
  }

  /** Calls `run` at `atMs`, after all that is ready by then; the result takes it back. */
  at(atMs: number, run: () => void): () => void {
    const timer: Timer = { atMs: Math.max(atMs, this.nowMs), order: this.#order++, run, cancelled: false }
    this.#push(timer)
    return () => {
      timer.cancelled = true
    }
  }

  /** Runs what is ready, goes on to the next timer, and so on, until `isOver` or until nothing is left to happen. */
  run(isOver: () => boolean): void {
    while (!isOver()) {
      this.#runReady()
      const timer = this.#pop()
      if (timer === undefined) return
      if (timer.cancelled) continue
      this.nowMs = timer.atMs
      timer.run()
    }
  }

  #runReady(): void {
    while (this.#ready.length > 0) {
      const batch = this.#ready
      this.#ready = []
      for (const task of batch) task()
      this.tasks += batch.length
      if (this.tasks > TASKS_MAX) throw new Error(`The simulation does not come to rest: it ran ${this.tasks} tasks.`)
    }
  }

  #push(timer: Timer): void {
    const heap = this.#timers
    let index = heap.push(timer) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(timer, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = timer
  }

  #pop(): Timer | undefined {
    const heap = this.#timers
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let index = 0
    for (;;) {
      let child = index * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
    return first
  }
}

const NANOS_PER_MS = 1_000_000n

export class SimulatedProcess {
  readonly #time: SimulatedTime
  alive = true
  readonly scheduler: Scheduler.Scheduler
  readonly clock: Clock.Clock

  constructor(time: SimulatedTime) {
    this.#time = time
    const scheduleTask = (task: () => void): void => time.soon(() => (this.alive ? task() : undefined))
    // One queue for all fibers, first in first out, whatever their priority: nothing in the runtime sets one.
    const dispatcher: Scheduler.SchedulerDispatcher = { scheduleTask, flush: () => {} }
    this.scheduler = {
      executionMode: "async",
      shouldYield: (fiber) => fiber.currentOpCount >= fiber.cache.maxOpsBeforeYield,
      makeDispatcher: () => dispatcher,
    }
    const wallNanos = () => BigInt(Math.floor(time.wallMs)) * NANOS_PER_MS
    const nanos = () => BigInt(Math.floor(time.nowMs)) * NANOS_PER_MS
    this.clock = {
      currentTimeMillisUnsafe: () => time.wallMs,
      currentTimeMillis: Effect.sync(() => time.wallMs),
      currentTimeNanosUnsafe: wallNanos,
      currentTimeNanos: Effect.sync(wallNanos),
      monotonicTimeNanosUnsafe: nanos,
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: (duration) => this.#sleep(Duration.toMillis(duration)),
    }
  }

  /** Calls `run` at `atMs`, unless the process has died by then. */
  at(atMs: number, run: () => void): () => void {
    return this.#time.at(atMs, () => (this.alive ? run() : undefined))
  }

  kill(): void {
    this.alive = false
  }

  #sleep(ms: number): Effect.Effect<void> {
    if (ms <= 0) return Effect.yieldNow
    if (!Number.isFinite(ms)) return Effect.never
    return Effect.callback((resume) => {
      const cancel = this.at(this.#time.nowMs + ms, () => resume(Effect.void))
      return Effect.sync(cancel)
    })
  }
}
