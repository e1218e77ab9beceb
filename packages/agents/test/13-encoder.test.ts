import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Fiber } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Engine } from "../src/index.ts"
import { fixture, openEncoder, trained } from "./support/engines.ts"

const run = Effect.runPromise

describe("an encoder", () => {
  let engine: Awaited<ReturnType<typeof openEncoder>>
  beforeAll(async () => {
    engine = await openEncoder({ folder: fixture("tiny-encoder"), batchTextsMax: 4, queueMax: 2 })
  })
  afterAll(() => engine.close())

  it("refuses what is no list of texts", async () => {
    const texts: ReadonlyArray<string> = JSON.parse("[5]")
    const failure = await run(Effect.flip(engine.handle.target.classify(texts)))
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "request" })
  })

  it("takes no texts at all, and the empty text", async () => {
    const { classify, embed } = engine.handle.target
    expect(await run(classify([]))).toEqual([])
    expect(await run(embed([]))).toEqual([])
    const [empty] = await run(classify([""]))
    expect(empty?.scores.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 6)
  })

  it("puts texts of concurrent calls into common steps, at most as many as it may", async () => {
    const before = await run(engine.handle.counters)
    const texts = ["where is my order", "a coffee", "please", "the card"]
    await run(Effect.forEach(texts, (text) => engine.handle.target.classify([text]), { concurrency: 4 }))
    await run(engine.handle.target.classify([...texts, "order"]))
    const after = await run(engine.handle.counters)
    // 4 texts of four calls in one step, or two where the process had begun with the first; then 5 texts in two.
    expect(after.steps - before.steps).toBeLessThanOrEqual(4)
    expect(after.steps - before.steps).toBeGreaterThanOrEqual(3)
  })

  it("refuses with numbers what would have to wait too long", async () => {
    const program = Effect.gen(function* () {
      yield* engine.handle.setStepDelayMs(20)
      const open = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () =>
        Effect.forkChild(engine.handle.target.embed(["order"]), { startImmediately: true }),
      )
      const failure = yield* Effect.flip(engine.handle.target.embed(["order"]))
      yield* engine.handle.setStepDelayMs(0)
      yield* Effect.forEach(open, (fiber) => Fiber.join(fiber))
      return failure
    })
    expect(await run(program)).toMatchObject({
      _tag: "RetryableModelBusy",
      message: 'Model "tiny-encoder": 4 requests run and 2 wait, and queueMax is 2; try again later, or raise it.',
    })
  })

  it("takes no step for a call that has gone", async () => {
    const before = await run(engine.handle.counters)
    await run(engine.handle.setStepDelayMs(20))
    const call = Effect.runFork(engine.handle.target.classify(Array.from({ length: 40 }, () => "order")))
    await run(engine.handle.counters)
    await run(Fiber.interrupt(call))
    await run(engine.handle.setStepDelayMs(0))
    await run(engine.handle.target.classify(["order"]))
    const after = await run(engine.handle.counters)
    expect(after).toMatchObject({ runningRequests: 0, waitingRequests: 0 })
    // Forty texts are ten steps.
    expect(after.steps - before.steps).toBeLessThan(5)
  })

  it("fails with its process, and says so to every call", async () => {
    const victim = await openEncoder({ folder: fixture("tiny-encoder") })
    await run(victim.handle.setStepDelayMs(1e6))
    const call = Effect.runFork(Effect.flip(victim.handle.target.classify(["order"])))
    await run(victim.handle.counters)
    process.kill(victim.handle.pid, "SIGKILL")
    expect(await run(Fiber.join(call))).toMatchObject({ _tag: "RetryableModelCrash", model: "tiny-encoder" })
    expect(await run(Effect.flip(victim.handle.target.died))).toMatchObject({ _tag: "RetryableModelCrash" })
    await victim.close()
  })
})

describe("what an encoder is not made for", () => {
  it("is refused: embeddings of a classifier that has none", async () => {
    const engine = await openEncoder({ folder: trained("banking-intent") })
    const failure = await run(Effect.flip(engine.handle.target.embed(["hi"])))
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "unsupported" })
    expect(failure.message).toContain("it cannot embed")
    await engine.close()
  })

  it("is refused: labels that do not fit the graph", async () => {
    const folder = join(mkdtempSync(join(tmpdir(), "pontoon-encoder-")), "labels")
    cpSync(fixture("tiny-encoder"), folder, { recursive: true })
    const path = join(folder, "config.json")
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), id2label: { 0: "yes", 1: "no" } }))
    const failure = await run(Effect.flip(Effect.scoped(Engine.encoder({ folder }))))
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "unsupported" })
    expect(failure.message).toContain("config.json names 2 labels in id2label and the graph has 3 classes")
    rmSync(join(folder, ".."), { recursive: true })
  })
})
