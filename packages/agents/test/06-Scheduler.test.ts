import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { ChildMessage } from "../src/engine/protocol.ts"
import { ContextBudget } from "../src/inference/cache/ContextBudget.ts"
import { makePrefixCache } from "../src/inference/cache/PrefixCache.ts"
import type { DecoderStep, KvSlot, StepRow } from "../src/inference/decoding/DecoderStep.ts"
import { planSampling } from "../src/inference/sampling/planSampling.ts"
import type { GenerationStart } from "../src/inference/scheduling/Generation.ts"
import { Scheduler } from "../src/inference/scheduling/Scheduler.ts"
import { makeAnswerText } from "../src/inference/text/AnswerText.ts"

const BYTES_PER_TOKEN = 10
const VOCAB = 100

interface FakeSlot {
  tokenIds: Array<number>
}

/** A step that remembers what it was fed. After n tokens it says n (mod 100), so every answer is known beforehand. */
const fakeStep = (
  options: { readonly rowsMax?: number; readonly canCut?: boolean; readonly broken?: boolean } = {},
) => {
  const slots = new Map<KvSlot, FakeSlot>()
  const fed: Array<ReadonlyArray<StepRow>> = []
  const onRun: Array<() => void> = []
  const step: DecoderStep = {
    vocabSize: VOCAB,
    rowsMax: options.rowsMax ?? 1,
    open: () => {
      const state: FakeSlot = { tokenIds: [] }
      const slot: KvSlot = {
        get length() {
          return state.tokenIds.length
        },
        get bytes() {
          return state.tokenIds.length * BYTES_PER_TOKEN
        },
      }
      slots.set(slot, state)
      return slot
    },
    cutBack: (slot, length) => {
      const state = slots.get(slot)!
      if (options.canCut === false && length < state.tokenIds.length) return false
      state.tokenIds = state.tokenIds.slice(0, length)
      return true
    },
    park: () => {},
    unpark: () => {},
    fork: (slot, length) => {
      const copy = step.open()
      slots.get(copy)!.tokenIds.push(...slots.get(slot)!.tokenIds.slice(0, length))
      return copy
    },
    save: () => undefined,
    load: () => {},
    bytesFor: (lengths) => BYTES_PER_TOKEN * lengths.reduce((sum, length) => sum + length, 0),
    release: (slot) => {
      if (!slots.delete(slot)) throw new Error("released twice")
    },
    run: async (rows) => {
      fed.push(rows)
      onRun.shift()?.()
      await Promise.resolve()
      return rows.map((row) => {
        const state = slots.get(row.slot)
        if (state === undefined) throw new Error("fed after its release")
        state.tokenIds.push(...row.tokenIds)
        const logits = new Float32Array(VOCAB).fill(options.broken === true ? Number.NaN : 0)
        if (options.broken !== true) logits[state.tokenIds.length % VOCAB] = 1
        return logits
      })
    },
  }
  return { step, slots, fed, onRun }
}

const makeStart = (id: number, part: Partial<GenerationStart> & { readonly maxTokens?: number }): GenerationStart => {
  const maxTokens = part.maxTokens ?? 5
  return {
    id,
    prompt: { tokenIds: [1, 2, 3] },
    plan: planSampling({ maxTokens }, {}, { contextLength: undefined, endTokenIds: [] }),
    text: makeAnswerText({
      decode: (tokenIds) => tokenIds.map((tokenId) => `${tokenId} `).join(""),
      isSpecial: () => false,
      endTokenIds: new Set(),
      stop: [],
      maxTokens,
    }),
    resumeTokenIds: [],
    cacheKey: undefined,
    deadlineAtMs: undefined,
    arrivedMs: 0,
    ...part,
  }
}

const setUp = (
  fake: ReturnType<typeof fakeStep>,
  options: {
    slots?: number
    chunkTokens?: number
    conversationsMax?: number
    bytesMax?: number
    contextBytesMax?: number
    alignTokens?: number
  } = {},
) => {
  const told: Array<ChildMessage> = []
  let nowMs = 0
  const cache = makePrefixCache(fake.step, {
    conversationsMax: options.conversationsMax ?? 0,
    bytesMax: options.bytesMax ?? 1e9,
    alignTokens: options.alignTokens ?? 1,
  })
  const scheduler = new Scheduler({
    model: "m",
    step: fake.step,
    cache,
    budget: new ContextBudget({ step: fake.step, cache, bytesMax: options.contextBytesMax ?? 1e9 }, 1),
    slots: options.slots ?? 2,
    vocabSize: VOCAB,
    rules: { chunkTokens: options.chunkTokens ?? 4, stepSensitive: (options.alignTokens ?? 1) > 1 },
    tell: (message) => told.push(message),
    now: () => nowMs,
    clockMs: () => nowMs,
    pause: async () => {},
  })
  const idle = async () => {
    // Everything here is made of microtasks; one macrotask later all of them are over.
    await new Promise((resolve) => setImmediate(resolve))
    expect(scheduler.counters()).toMatchObject({ running: 0, waiting: 0 })
  }
  const tokensOf = (id: number) =>
    told.flatMap((message) => (message._tag === "Tokens" && message.id === id ? message.tokenIds : []))
  const endOf = (id: number) =>
    told.find((message) => (message._tag === "Finished" || message._tag === "Failed") && message.id === id)
  return { scheduler, cache, told, idle, tokensOf, endOf, setNow: (ms: number) => (nowMs = ms) }
}

describe("Scheduler", () => {
  it("says that the weights are damaged where the model gives no numbers", async () => {
    const fake = fakeStep({ broken: true })
    const { endOf, idle, scheduler } = setUp(fake)
    scheduler.submit(makeStart(1, {}))
    await idle()
    expect(endOf(1)).toMatchObject({ _tag: "Failed", failure: { _tag: "TerminalModelFailure", reason: "damaged" } })
    expect(fake.slots.size).toBe(0)
  })

  it("reads a prompt in chunks of the same places, whatever was kept of it", async () => {
    const fake = fakeStep()
    const { idle, scheduler, tokensOf } = setUp(fake, { conversationsMax: 1 })
    const tokenIds = Array.from({ length: 10 }, (_, index) => index)
    scheduler.submit(makeStart(1, { prompt: { tokenIds: tokenIds.slice(0, 6) }, maxTokens: 1, cacheKey: "k" }))
    await idle()
    scheduler.submit(makeStart(2, { prompt: { tokenIds }, maxTokens: 2, cacheKey: "k" }))
    await idle()
    expect(fake.fed.map(([row]) => row!.tokenIds.length)).toEqual([4, 2, 2, 2, 1])
    expect(tokensOf(2)).toEqual([10, 11])
  })

  it("serves the answers in turns and no more of them than there are slots", async () => {
    const fake = fakeStep()
    const { idle, scheduler } = setUp(fake, { slots: 2 })
    // They come while another is inside its only step; else the first would begin alone.
    fake.onRun.push(() => {
      for (const id of [1, 2, 3]) scheduler.submit(makeStart(id, { maxTokens: 3 }))
    })
    scheduler.submit(makeStart(0, { maxTokens: 1 }))
    await idle()
    const order = fake.fed.slice(1).map(([row]) => row!.slot)
    const [first, second] = order
    expect(order.slice(0, 6)).toEqual([first, second, first, second, first, second])
    expect(new Set(order.slice(6)).size).toBe(1)
    expect(fake.slots.size).toBe(0)
  })

  it("fills steps that take several rows", async () => {
    const fake = fakeStep({ rowsMax: 3 })
    const { idle, scheduler, tokensOf } = setUp(fake, { slots: 4 })
    for (const id of [1, 2, 3, 4]) scheduler.submit(makeStart(id, { maxTokens: 6 }))
    await idle()
    expect(Math.max(...fake.fed.map((rows) => rows.length))).toBe(3)
    for (const id of [1, 2, 3, 4]) expect(tokensOf(id)).toEqual([3, 4, 5, 6, 7, 8])
  })

  it("takes no step for an answer that was cancelled, be it waiting, running or inside a step", async () => {
    const fake = fakeStep()
    const { endOf, idle, scheduler } = setUp(fake, { slots: 2 })
    fake.onRun.push(
      () => {
        for (const id of [1, 2, 3]) scheduler.submit(makeStart(id, {}))
      },
      () => {
        // 1 is inside this step, 2 has a slot, 3 waits.
        expect(scheduler.counters()).toMatchObject({ running: 2, waiting: 1 })
        for (const id of [1, 2, 3]) scheduler.cancel(id)
      },
    )
    scheduler.submit(makeStart(0, { maxTokens: 1 }))
    await idle()
    expect(fake.fed).toHaveLength(2)
    expect([1, 2, 3].map(endOf)).toEqual([undefined, undefined, undefined])
    expect(fake.slots.size).toBe(0)
  })

  it("ends an answer at its deadline, tells what it had, and serves the others on", async () => {
    const fake = fakeStep()
    const { endOf, idle, scheduler, setNow, tokensOf } = setUp(fake, { slots: 1 })
    fake.onRun.push(
      () => {},
      () => setNow(100),
    )
    scheduler.submit(makeStart(1, { deadlineAtMs: 100 }))
    scheduler.submit(makeStart(2, { deadlineAtMs: 100 }))
    scheduler.submit(makeStart(3, { deadlineAtMs: 101 }))
    await idle()
    expect(tokensOf(1)).toEqual([3, 4])
    expect(endOf(1)).toMatchObject({ _tag: "Failed", failure: { _tag: "RetryableModelBusy" } })
    expect(endOf(1)).toMatchObject({
      failure: { message: 'Model "m": the request\'s deadline passed after 2 of at most 5 tokens.' },
    })
    expect(endOf(2)).toMatchObject({
      failure: { message: 'Model "m": the request\'s deadline passed while it waited for a slot.' },
    })
    expect(endOf(3)).toMatchObject({ _tag: "Finished", reason: "length" })
  })

  it("says of each answer where its time went", async () => {
    const timed = async (rowsMax: number) => {
      const fake = fakeStep({ rowsMax })
      const { endOf, idle, scheduler, setNow } = setUp(fake, { slots: rowsMax })
      // Each step takes 10 ms; a prompt of one token is no reading.
      for (let step = 1; step <= 6; step++) fake.onRun.push(() => setNow(step * 10))
      for (const id of [1, 2]) scheduler.submit(makeStart(id, { prompt: { tokenIds: [1] }, maxTokens: 3 }))
      await idle()
      return [endOf(1), endOf(2)]
    }
    const first = { queueMs: 0, firstTokenMs: 10, perTokenMs: 10, totalMs: 30 }
    expect(await timed(1)).toMatchObject([
      { timing: { ...first, batchRows: 1 } },
      { timing: { queueMs: 30, firstTokenMs: 40, perTokenMs: 10, totalMs: 60, batchRows: 1 } },
    ])
    const [, second] = await timed(2)
    expect(second).toMatchObject({ timing: { batchRows: 5 / 3 } })
  })

  it("answers every request once, leaks no slot and keeps within its bounds, whatever comes when", async () => {
    const action = fc.record({
      kind: fc.constantFrom("submit", "submit", "cancel"),
      prompt: fc.array(fc.nat({ max: 5 }), { minLength: 1, maxLength: 9 }),
      maxTokens: fc.integer({ min: 1, max: 6 }),
      key: fc.constantFrom(undefined, "a", "b", "c"),
      atStep: fc.nat({ max: 12 }),
    })
    const anyCase = fc.record({
      actions: fc.array(action, { minLength: 1, maxLength: 10 }),
      rowsMax: fc.integer({ min: 1, max: 3 }),
      slots: fc.integer({ min: 1, max: 3 }),
      canCut: fc.boolean(),
      alignTokens: fc.constantFrom(1, 4),
    })
    await fc.assert(
      fc.asyncProperty(anyCase, async ({ actions, alignTokens, canCut, rowsMax, slots }) => {
        const fake = fakeStep({ rowsMax, canCut })
        const bytesMax = 12 * BYTES_PER_TOKEN
        const { cache, endOf, idle, scheduler, told, tokensOf } = setUp(fake, {
          slots,
          conversationsMax: 2,
          bytesMax,
          alignTokens,
        })
        const cancelled = new Set<number>()
        const acts = actions.map(({ key, kind, maxTokens, prompt }, id) => () => {
          if (kind === "submit") {
            scheduler.submit(makeStart(id, { prompt: { tokenIds: prompt }, maxTokens, cacheKey: key }))
            return
          }
          for (let other = 0; other < id; other++) {
            cancelled.add(other)
            scheduler.cancel(other)
          }
        })
        // Each action comes inside the step that it names, or once all is idle where there are not that many.
        const pending = new Set(acts.keys())
        const actNow = (ids: ReadonlyArray<number>) => {
          for (const id of ids) if (pending.delete(id)) acts[id]!()
        }
        for (let step = 1; step <= 12; step++) {
          fake.onRun.push(() => actNow([...pending].filter((id) => actions[id]!.atStep === step)))
        }
        actNow([...pending].filter((id) => actions[id]!.atStep === 0))
        while (pending.size > 0) {
          await idle()
          actNow([...pending].slice(0, 1))
        }
        await idle()
        for (const [id, { kind, maxTokens, prompt }] of actions.entries()) {
          if (kind === "cancel" || cancelled.has(id)) continue
          expect(tokensOf(id)).toEqual(Array.from({ length: maxTokens }, (_, index) => (prompt.length + index) % VOCAB))
          expect(endOf(id)).toMatchObject({
            _tag: "Finished",
            usage: { promptTokens: prompt.length, completionTokens: maxTokens },
          })
          expect(told.filter((message) => message._tag === "Finished" && message.id === id)).toHaveLength(1)
        }
        const { bytes, conversations } = cache.size()
        expect(fake.slots.size).toBe(conversations)
        expect(conversations).toBeLessThanOrEqual(2)
        expect(bytes).toBeLessThanOrEqual(bytesMax)
        expect(bytes).toBe(
          [...fake.slots.values()].reduce((sum, slot) => sum + slot.tokenIds.length * BYTES_PER_TOKEN, 0),
        )
      }),
      { numRuns: 300 },
    )
  })
})
