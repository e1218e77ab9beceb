/**
 * Pictures of digits through three models of PaddleOCR, that were not made for Pontoon: where the text is, which way up it
 * is, what it says. Then what is refused, and what the process outlives.
 */
import { readFileSync } from "node:fs"
import { Effect, Fiber } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type NamedTensors, TensorEngine, type TensorOptions } from "../../src/index.ts"
import { asChannels, drawDigits, drawLine, type Picture } from "../support/bitmapText.ts"
import { openScoped } from "../support/engines.ts"
import { OCR, openDirectly } from "../support/shippedModels.ts"

const run = Effect.runPromise
const openTensors = (options: TensorOptions) => openScoped(TensorEngine.open(options))
const HALF = [0.5, 0.5, 0.5]
const line = (text: string, width?: number) => ({ x: asChannels(drawLine(text, width), HALF, HALF) })

/** The first is the blank of CTC, the last a space. */
const characters = ["", ...readFileSync(OCR.characters, "utf8").split("\n").filter(Boolean), " "]

/** Greedy CTC: the likeliest of each step, repetitions and blanks left out. */
const read = ({ "softmax_11.tmp_0": output }: NamedTensors): string => {
  if (output?.type !== "float32") throw new Error("the recogniser gives no floats")
  const [, steps = 0, classes = 0] = output.dims
  let text = ""
  let last = 0
  for (let step = 0; step < steps; step++) {
    const row = output.data.subarray(step * classes, (step + 1) * classes)
    const best = row.indexOf(row.reduce((a, b) => Math.max(a, b)))
    if (best !== 0 && best !== last) text += characters[best]
    last = best
  }
  return text
}

const TEXTS = ["1492", "31415", "42", "7358", "65536", "1867"]

describe("the recogniser", () => {
  let engine: Awaited<ReturnType<typeof openTensors>>
  beforeAll(async () => {
    engine = await openTensors({
      file: OCR.recognition,
      name: "recogniser",
      batchMax: 4,
      queueMax: 8,
      bytesMax: 2 ** 20,
      queueBytesMax: 2 ** 21,
    })
  })
  afterAll(() => engine.close())

  it("1. says what it takes and gives", () => {
    const { inputs, outputs, weightsHash } = engine.handle.target.describe
    expect(inputs).toMatchObject([{ name: "x", type: "float32" }])
    expect(inputs[0]?.dims.map((size) => typeof size)).toEqual(["string", "number", "number", "string"])
    expect(outputs).toMatchObject([{ name: "softmax_11.tmp_0", type: "float32" }])
    expect(weightsHash).toMatch(/^[0-9a-f]{64}$/)
  })
  it.each([
    ["a missing input", {}, 'input "x" is missing'],
    [
      "another type",
      { x: { type: "int32", dims: [1], data: Int32Array.of(1) } },
      'input "x" is int32, and the graph takes float32',
    ],
    [
      "another height",
      { x: { type: "float32", dims: [1, 3, 32, 8], data: new Float32Array(768) } },
      "has the dimensions [1, 3, 32, 8]",
    ],
    [
      "what is not a number",
      { x: { type: "float32", dims: [1, 3, 48, 16], data: new Float32Array(2304).fill(Number.NaN) } },
      'input "x" is not a number at element 0',
    ],
    [
      "an empty picture",
      { x: { type: "float32", dims: [1, 3, 48, 0], data: new Float32Array(0) } },
      "onnxruntime cannot run it on these inputs",
    ],
    [
      "more than bytesMax",
      line("1", 2000),
      "the inputs have 1152000 bytes, and bytesMax is 1048576; send less, or raise it.",
    ],
  ] as ReadonlyArray<readonly [string, NamedTensors, string]>)("2. refuses %s", async (_, inputs, sentence) => {
    const failure = await run(Effect.flip(engine.handle.target.run(inputs)))
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "request" })
    expect(failure.message).toMatch(/^Model "recogniser": /)
    expect(failure.message).toContain(sentence)
  })
  it("3. refuses an answer that is larger than bytesMax", async () => {
    // 640 pixels become 80 steps of 6,625 classes.
    const failure = await run(Effect.flip(engine.handle.target.run(line("1", 640))))
    expect(failure.message).toContain("its outputs have 2120000 bytes, and bytesMax is 1048576")
  })
  it("3. refuses to answer with what is not a number, and lets it through where that is asked for", async () => {
    const x = { type: "float32", dims: [1, 3, 48, 16], data: new Float32Array(2304).fill(3e38) } as const
    const failure = await run(Effect.flip(engine.handle.target.run({ x })))
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "damaged" })
    expect(failure.message).toContain('output "softmax_11.tmp_0" is not a number at element 0')
    const allowing = await openTensors({ file: OCR.recognition, nanAllowed: true })
    const { "softmax_11.tmp_0": given } = await run(allowing.handle.target.run({ x }))
    expect(given?.data[0]).toBeNaN()
    await allowing.close()
  })
  it("4. reads what was drawn, with onnxruntime's own numbers", async () => {
    const direct = await openDirectly(OCR.recognition)
    for (const text of TEXTS) {
      const inputs = line(text)
      const ours = await run(engine.handle.target.run(inputs))
      expect(read(ours)).toBe(text)
      const theirs = (await direct.run(inputs))["softmax_11.tmp_0"]
      expect(ours["softmax_11.tmp_0"]?.data).toEqual(theirs?.data)
    }
    await direct.close()
  })
  it("5. reads lines of one width in common runs, each as alone", async () => {
    const before = await run(engine.handle.counters)
    await run(engine.handle.setStepDelayMs(1e6))
    const asked = Effect.forEach(TEXTS, (text) => engine.handle.target.run(line(text, 170)), {
      concurrency: "unbounded",
    })
    const call = Effect.runFork(asked)
    await run(engine.handle.counters)
    await run(engine.handle.setStepDelayMs(0))
    expect((await run(Fiber.join(call))).map(read)).toEqual(TEXTS)
    const after = await run(engine.handle.counters)
    // Six lines, at most four a run.
    expect(after.steps - before.steps).toBe(2)
  })
  it("6. refuses what does not fit beside the tensors of other requests, and has room again once they are answered", async () => {
    await run(engine.handle.setStepDelayMs(1e6))
    // 960,000 bytes each; two have room.
    const wide = line("1", 1666)
    const open = [0, 1].map(() => Effect.runFork(engine.handle.target.run(wide, ["softmax_11.tmp_0"])))
    const failure = await run(Effect.flip(engine.handle.target.run(wide)))
    expect(failure).toMatchObject({ _tag: "RetryableModelBusy" })
    expect(failure.message).toContain("have 1919232 bytes, these 959616, and queueBytesMax is 2097152")
    await run(Fiber.interruptAll(open))
    await run(engine.handle.setStepDelayMs(0))
    expect(read(await run(engine.handle.target.run(line("42"))))).toBe("42")
  })
  it("7. refuses with numbers what would have to wait too long, and drops what is called off", async () => {
    await run(engine.handle.setStepDelayMs(1e6))
    const open = Array.from({ length: 12 }, () => Effect.runFork(engine.handle.target.run(line("42"))))
    const failure = await run(Effect.flip(engine.handle.target.run(line("42"))))
    expect(failure).toMatchObject({ _tag: "RetryableModelBusy" })
    expect(failure.message).toContain("queueMax is 8")
    await run(Fiber.interruptAll(open))
    await run(engine.handle.setStepDelayMs(0))
    expect(read(await run(engine.handle.target.run(line("42"))))).toBe("42")
    expect(await run(engine.handle.counters)).toMatchObject({ runningRequests: 0, waitingRequests: 0 })
  })
})

describe("the angle classifier", () => {
  it("tells a line from one that stands on its head", async () => {
    const engine = await openTensors({ file: OCR.angle })
    const upright = drawLine("202611", 192)
    const turned: Picture = { ...upright, pixels: upright.pixels.toReversed() }
    const turnedBy = async (picture: Picture) => {
      const { "softmax_0.tmp_0": found } = await run(engine.handle.target.run({ x: asChannels(picture, HALF, HALF) }))
      return Number(found?.data[1])
    }
    expect(await turnedBy(upright)).toBeLessThan(0.1)
    expect(await turnedBy(turned)).toBeGreaterThan(0.9)
    await engine.close()
  })
})

describe("the detector", () => {
  it("finds the text in a picture, and outlives a picture of a size that it cannot take", async () => {
    const engine = await openTensors({ file: OCR.detection })
    const direct = await openDirectly(OCR.detection)
    const scene = drawDigits("90210", { width: 320, height: 160, left: 100, top: 64 }, 4)
    const inputs = { x: asChannels(scene, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]) }
    // Its down- and upsampling wants multiples of 32, which its metadata does not say.
    const odd = { x: { type: "float32", dims: [1, 3, 33, 47], data: new Float32Array(3 * 33 * 47) } } as const
    const failure = await run(Effect.flip(engine.handle.target.run(odd)))
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "request" })
    expect(failure.message).toContain("onnxruntime cannot run it on these inputs")
    const { "sigmoid_0.tmp_0": map } = await run(engine.handle.target.run(inputs))
    expect(map?.data).toEqual((await direct.run(inputs))["sigmoid_0.tmp_0"]?.data)
    const found = Array.from(map?.data ?? [], Number).flatMap((score, at) => (score > 0.3 ? [at] : []))
    const columns = found.map((at) => at % 320)
    const rows = found.map((at) => Math.floor(at / 320))
    // It is trained to find a shrunken box: inside the digits' 100 to 216 by 64 to 92, and not far inside.
    expect([Math.min(...columns), Math.max(...columns), Math.min(...rows), Math.max(...rows)]).toEqual([
      expect.toSatisfy((left: number) => left >= 96 && left < 120),
      expect.toSatisfy((right: number) => right > 196 && right <= 220),
      expect.toSatisfy((top: number) => top >= 60 && top < 76),
      expect.toSatisfy((bottom: number) => bottom > 80 && bottom <= 96),
    ])
    await direct.close()
    await engine.close()
  })
})
