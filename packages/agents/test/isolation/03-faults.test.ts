/** What can become of a model's process: its host lives, what was asked of it fails, and the failure says what it was. */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect, it } from "vitest"
import { type DecoderHandle, type DecoderOptions, Engine, type Fault, type GenerateRequest } from "../../src/index.ts"
import { answer, fixture, user } from "../support/engines.ts"
import { isAlive } from "../support/isAlive.ts"

const run = Effect.runPromise
const folder = fixture("tiny-decoder")
const long: GenerateRequest = {
  prompt: [user("the ring")],
  sampling: { maxTokens: 200, temperature: 0.7, topK: 5, seed: 1 },
}
/** Linux can be asked to give a process no more memory, and to stop and go on. */
const onLinux = process.platform === "linux"

/** Opens a model, has something happen to it in the middle of an answer, and gives what became of that. */
const inMidAnswer = (happen: (handle: DecoderHandle) => Effect.Effect<void>, options: Partial<DecoderOptions> = {}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const handle = yield* Engine.decoder({ folder, dtype: "fp32", name: "victim", ...options })
      yield* handle.setStepDelayMs(5)
      const reading = Stream.runForEach(Stream.take(handle.target.generate(long), 1), () => happen(handle))
      const other = yield* Effect.forkChild(Effect.flip(answer(handle.target, long)), { startImmediately: true })
      yield* Effect.ignore(reading)
      const failure = yield* Fiber.join(other)
      const died = yield* Effect.flip(handle.target.died)
      const after = yield* Effect.flip(answer(handle.target, long))
      return { failure, died, after, pid: handle.pid }
    }),
  )

const suffer = (fault: Fault) => (handle: DecoderHandle) => handle.sufferFault(fault)

/** Lets a process have no more address space than it has, and a little. */
const holdMemory = (pid: number) => {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[0])
  const limit = pages * 4096 + 64 * 1024 * 1024
  const { status, stderr } = spawnSync("prlimit", ["--pid", String(pid), `--as=${limit}:${limit}`])
  if (status !== 0) throw new Error(`prlimit failed: ${stderr}`)
}

describe("a model's process that", () => {
  it("is killed with -9 in mid-answer", async () => {
    const { after, died, failure, pid } = await run(
      inMidAnswer((handle) => Effect.sync(() => process.kill(handle.pid, "SIGKILL"))),
    )
    expect(failure).toMatchObject({ _tag: "RetryableModelCrash", reason: "killed", signal: "SIGKILL", code: null })
    expect(failure.message).toBe(`Model "victim": its process (${pid}) was killed by SIGKILL.`)
    // One death, told alike to whoever asks.
    expect([died, after]).toEqual([failure, failure])
    expect(isAlive(pid)).toBe(false)
  })

  it("aborts inside native code", async () => {
    const { failure, pid } = await run(inMidAnswer(suffer("abort")))
    expect(failure).toMatchObject({ _tag: "RetryableModelCrash", reason: "aborted", signal: "SIGABRT" })
    expect(failure.message).toContain(`its process (${pid}) was killed by SIGABRT`)
    expect(isAlive(pid)).toBe(false)
  })

  it("exhausts its heap", async () => {
    const { failure } = await run(inMidAnswer(suffer("exhaustHeap"), { heapBytesMax: 48 * 1024 * 1024 }))
    expect(failure).toMatchObject({ _tag: "RetryableModelCrash", reason: "memory" })
    expect(failure.message).toMatch(/its process \(\d+\) ran out of memory; it said: .*heap/i)
  })

  it.runIf(onLinux)("is given no more memory by the kernel", async () => {
    const starve = (handle: DecoderHandle) =>
      Effect.andThen(
        Effect.sync(() => holdMemory(handle.pid)),
        handle.sufferFault("exhaustMemory"),
      )
    const { failure } = await run(inMidAnswer(starve))
    expect(failure).toMatchObject({ _tag: "RetryableModelCrash", reason: "memory" })
    expect(failure.message).toMatch(/ran out of memory; it said: /)
  })
})

describe("a model's process that says nothing", () => {
  const SILENCE_MS_MAX = 8_000

  /** Time stands still but for what the test lets pass, so that how long loading takes does not matter. */
  const untilKilled = (hang: (handle: DecoderHandle) => Effect.Effect<void>) =>
    Effect.scoped(
      Effect.gen(function* () {
        const handle = yield* Engine.decoder({ folder, dtype: "fp32", silenceMsMax: SILENCE_MS_MAX })
        yield* hang(handle)
        const stuck = yield* Effect.forkChild(Effect.flip(answer(handle.target, long)), { startImmediately: true })
        yield* TestClock.adjust(SILENCE_MS_MAX - 1)
        const wasAlive = isAlive(handle.pid)
        yield* TestClock.adjust(SILENCE_MS_MAX / 2)
        return { failure: yield* Fiber.join(stuck), wasAlive, pid: handle.pid }
      }),
    ).pipe(Effect.provide(TestClock.layer({ warningDelay: "1 hour" })))

  it("because it hangs in native code, is killed in time and not before", async () => {
    const { failure, pid, wasAlive } = await run(untilKilled(suffer("hang")))
    expect(wasAlive).toBe(true)
    expect(failure).toMatchObject({ _tag: "RetryableModelCrash", reason: "hang", signal: "SIGKILL" })
    expect(failure.message).toContain(`its process (${pid}) was killed because it had not answered for 8000 ms`)
    expect(isAlive(pid)).toBe(false)
  })

  it.runIf(onLinux)("because it was stopped, is killed as well", async () => {
    const stop = (handle: DecoderHandle) => Effect.sync(() => process.kill(handle.pid, "SIGSTOP"))
    const { failure, pid } = await run(untilKilled((handle) => stop(handle)))
    expect(failure).toMatchObject({ _tag: "RetryableModelCrash", reason: "hang" })
    expect(isAlive(pid)).toBe(false)
  })

  it("because nobody asked it anything, is left alone", async () => {
    const program = Effect.gen(function* () {
      const handle = yield* Engine.decoder({ folder, dtype: "fp32", silenceMsMax: 1_000 })
      yield* TestClock.adjust(3_600_000)
      return (yield* answer(handle.target, long)).tokenIds.length
    })
    const tokens = await run(program.pipe(Effect.scoped, Effect.provide(TestClock.layer({ warningDelay: "1 hour" }))))
    expect(tokens).toBeGreaterThan(0)
  })
})
