import { describe, expect, it } from "vitest"
import type { DecoderStep, KvSlot } from "../../src/inference/decoding/DecoderStep.ts"
import { feed, openDecoderStep } from "../support/decoderSteps.ts"
import { fixture } from "../support/engines.ts"

const folder = fixture("tiny-decoder")
const tokens = Array.from({ length: 90 }, (_, index) => 7 + ((index * 31) % 200))
/** Sums are rounded differently when fed in other pieces; a wrong row is wrong in the first digit. */
const near = (actual: Float32Array, expected: Float32Array) => {
  expect(actual.length).toBe(expected.length)
  const worst = actual.reduce((most, value, at) => Math.max(most, Math.abs(value - expected[at]!)), 0)
  expect(worst).toBeLessThan(1e-3)
}

const open = async (step: DecoderStep, tokenIds: ReadonlyArray<number>): Promise<KvSlot> => {
  const slot = step.open()
  await feed(step, slot, tokenIds)
  return slot
}

describe.each([
  { name: "rows that share steps", options: { folder, dtype: "fp32", slots: 4 } },
  { name: "rows in turns", options: { folder, dtype: "fp32", slots: 4, batching: false } },
  { name: "rows in turns, 16 bits", options: { folder, dtype: "fp16", slots: 4, batching: false } },
] as const)("$name", ({ options }) => {
  it("go their own way after a fork, from where they were or from before", async () => {
    const step = await openDecoderStep(options)
    const first = await open(step, tokens.slice(0, 70))
    const whole = step.fork(first)
    const part = step.fork(first, 33)
    expect([whole.length, part.length, first.length]).toEqual([70, 33, 70])
    expect(whole.bytes).toBe(first.bytes)
    const [ofFirst] = await feed(step, first, [11])
    const [ofWhole] = await feed(step, whole, [12])
    const [ofPart] = await feed(step, part, [11, 13])
    for (const slot of [first, whole, part]) step.release(slot)
    const alone = async (tokenIds: ReadonlyArray<number>, last: number) => {
      const slot = await open(step, tokenIds)
      const [logits] = await feed(step, slot, [last])
      step.release(slot)
      return logits!
    }
    near(ofFirst!, await alone(tokens.slice(0, 70), 11))
    near(ofWhole!, await alone(tokens.slice(0, 70), 12))
    near(ofPart!, await alone([...tokens.slice(0, 33), 11], 13))
  })

  it("can be forked while they are parked", async () => {
    const step = await openDecoderStep(options)
    const first = await open(step, tokens.slice(0, 70))
    step.park(first)
    const copy = step.fork(first, 65)
    step.unpark(first)
    expect([first.length, copy.length]).toEqual([70, 65])
    near((await feed(step, copy, tokens.slice(65, 71)))[0]!, (await feed(step, first, [tokens[70]!]))[0]!)
  })

  it("are what they were when they are loaded from pieces", async () => {
    const step = await openDecoderStep(options)
    const first = await open(step, tokens)
    const pieces = [step.save(first, 0, 64)!, step.save(first, 64, 66)!, step.save(first, 66, 90)!]
    expect(pieces.map(({ length }) => length)).toEqual([64, 2, 24])
    const copy = step.open()
    step.load(copy, pieces)
    expect(copy.length).toBe(90)
    expect((await feed(step, copy, [20]))[0]).toEqual((await feed(step, first, [20]))[0])
  })

  it("give the logits of as many tokens as are asked for, and are cut back after them", async () => {
    const step = await openDecoderStep(options)
    const slot = await open(step, tokens.slice(0, 40))
    const logits = await feed(step, slot, tokens.slice(40, 45), 4)
    expect(step.cutBack(slot, 42)).toBe(true)
    near((await feed(step, slot, [tokens[42]!]))[0]!, logits[1]!)
    const other = await open(step, tokens.slice(0, 44))
    near((await feed(step, other, [tokens[44]!]))[0]!, logits[3]!)
  })

  it("need at least the bytes that they have", async () => {
    const step = await openDecoderStep(options)
    const slots = [await open(step, tokens), await open(step, tokens.slice(0, 5))]
    const held = slots.reduce((bytes, slot) => bytes + slot.bytes, 0)
    expect(step.bytesFor(slots.map(({ length }) => length))).toBeGreaterThanOrEqual(held)
  })
})
