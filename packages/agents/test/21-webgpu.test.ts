import { Effect } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Engine } from "../src/index.ts"
import { answer, assistant, fixture, openDecoder, trained, user } from "./support/engines.ts"
import { unpackSwiftShader } from "./support/swiftShader.ts"

const run = Effect.runPromise
/** Shaders are compiled and run in software. */
const TIMEOUT_MS = 120_000

// The package carries SwiftShader for x64 Linux only.
describe.runIf(process.platform === "linux" && process.arch === "x64")("WebGPU on SwiftShader", () => {
  let swiftShader: ReturnType<typeof unpackSwiftShader>
  beforeAll(() => {
    swiftShader = unpackSwiftShader()
  })
  afterAll(() => swiftShader.remove())

  const open = (folder: string, providers: ReadonlyArray<string>) =>
    openDecoder({ folder, dtype: "fp32", providers, env: swiftShader.env })

  it.each([
    { name: "tiny-decoder", folder: fixture("tiny-decoder") },
    { name: "barista", folder: trained("barista") },
  ])("$name: the same greedy tokens as on the CPU", { timeout: TIMEOUT_MS }, async ({ folder }) => {
    const cpu = await open(folder, ["cpu"])
    const gpu = await open(folder, ["webgpu", "cpu"])
    expect(gpu.handle.target.describe).toMatchObject({ provider: "webgpu", tried: [] })
    const prompt = [user("a medium mocha"), assistant("Sure, hot or iced?"), user("hot please")]
    const begin = { prompt, sampling: { temperature: 0, maxTokens: 3 }, cacheKey: "c" }
    const begun = await run(answer(gpu.handle.target, begin))
    expect(begun.tokenIds).toEqual((await run(answer(cpu.handle.target, begin))).tokenIds)
    expect(begun.finished.reason).toBe("length")
    // The answer goes on from a cache that never left the device.
    const sampling = { temperature: 0, maxTokens: 24 }
    const more = await run(answer(gpu.handle.target, { ...begin, sampling, resumeTokenIds: begun.tokenIds }))
    expect(more.finished.usage.cachedTokens).toBe(more.finished.usage.promptTokens - 1)
    const whole = await run(answer(cpu.handle.target, { prompt, sampling }))
    expect([...begun.tokenIds, ...more.tokenIds]).toEqual(whole.tokenIds)
    await Promise.all([cpu.close(), gpu.close()])
  })
})

describe("WebGPU without a device", () => {
  const nowhere = { LD_LIBRARY_PATH: "/nonexistent", VK_DRIVER_FILES: "/nonexistent" }

  it("is one sentence, with nothing to fall back on", { timeout: TIMEOUT_MS }, async () => {
    const options = { folder: fixture("tiny-decoder"), dtype: "fp32", providers: ["webgpu"], env: nowhere } as const
    const failure = await run(Effect.flip(Effect.scoped(Engine.decoder(options))))
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "device" })
    expect(failure.message).toMatch(/^Model "tiny-decoder": no provider that was asked for can run it\. .*webgpu.*$/)
  })
})
