import { Effect } from "effect"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { ContextBudget } from "../../src/inference/cache/ContextBudget.ts"
import { KvArena } from "../../src/inference/cache/KvArena.ts"
import { answer, fixture, openDecoder, user } from "../support/engines.ts"

const run = Effect.runPromise
const folder = fixture("tiny-decoder")
const SHAPES = [
  { heads: 2, headDim: 4, type: "float32" },
  { heads: 1, headDim: 2, type: "float32" },
] as const
const BYTES_PER_TOKEN = 40
const ROWS_MAX = 6

const freshOf = (tokens: number) => SHAPES.map(({ headDim, heads }) => new Float32Array(heads * headDim * tokens))

describe("ContextBudget", () => {
  it("says how many tokens fit, to the very last", () => {
    const arena = new KvArena(SHAPES, ROWS_MAX)
    const bytesMax = 1000 * BYTES_PER_TOKEN
    const budget = new ContextBudget({ step: arena, cache: { allow: () => {} }, bytesMax }, ROWS_MAX)
    for (const rows of [1, 2, ROWS_MAX]) {
      const tokens = budget.tokensMax(rows)
      expect(tokens).toBeGreaterThan(0)
      expect(budget.admit(Array<number>(rows).fill(tokens))).toBe(true)
      expect(budget.admit(Array<number>(rows).fill(tokens + 1))).toBe(false)
    }
    expect(new ContextBudget({ step: arena, cache: { allow: () => {} }, bytesMax: 1 }, 1).tokensMax(1)).toBe(0)
  })

  it("keeps the arena and what is kept beside it within the bound, whoever comes and goes", () => {
    const action = fc.record({
      kind: fc.constantFrom("come", "come", "grow", "grow", "go"),
      which: fc.nat(),
      tokens: fc.integer({ min: 1, max: 300 }),
    })
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), fc.integer({ min: 1, max: 1200 }), (actions, budgetTokens) => {
        const arena = new KvArena(SHAPES, ROWS_MAX)
        const bytesMax = budgetTokens * BYTES_PER_TOKEN
        let allowed = bytesMax
        const cache = { allow: (bytes: number) => (allowed = bytes) }
        const budget = new ContextBudget({ step: arena, cache, bytesMax }, 1)
        /** What each row may grow to. */
        const promised: Array<number> = []
        for (const { kind, tokens, which } of actions) {
          const row = which % Math.max(1, promised.length)
          if (kind === "come" && promised.length < ROWS_MAX) {
            // What fits alone must not have to wait where nobody is.
            const admitted = budget.admit([...promised, tokens])
            if (promised.length === 0) expect(admitted).toBe(tokens <= budget.tokensMax(1))
            if (!admitted) continue
            arena.addRow()
            promised.push(tokens)
          } else if (kind === "grow" && promised.length > 0) {
            const more = Math.min(tokens, promised[row]! - arena.lengthOf(row))
            if (more > 0) arena.append(row, freshOf(more), 0, more)
          } else if (kind === "go" && promised.length > 0) {
            arena.removeRow(row)
            const last = promised.pop()!
            if (row < promised.length) promised[row] = last
          }
          if (promised.length > 0) expect(arena.touchedBytes + allowed).toBeLessThanOrEqual(bytesMax)
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe("contextBytesMax", () => {
  const CONTEXT_BYTES_MAX = 30_000
  const open = (batching: boolean, contextBytesMax: number) =>
    openDecoder({ folder, dtype: "fp32", batching, slots: 6, contextBytesMax })
  let engines: ReadonlyArray<Awaited<ReturnType<typeof openDecoder>>> = []
  beforeAll(async () => {
    engines = await Promise.all([open(true, 1e9), open(true, CONTEXT_BYTES_MAX), open(false, CONTEXT_BYTES_MAX)])
  })
  afterAll(() => Promise.all(engines.map((engine) => engine.close())))

  it("refuses what can never fit, with the numbers, and cuts where it may", async () => {
    for (const { handle } of engines.slice(1)) {
      const prompt = [user("a".repeat(70)), user("b".repeat(70)), user("c".repeat(30))]
      const failure = await run(Effect.flip(answer(handle.target, { prompt, sampling: { maxTokens: 20 } })))
      expect(failure._tag).toBe("TerminalPromptTooLong")
      expect(failure.message).toMatch(
        /^Model "tiny-decoder": the prompt has \d+ tokens and maxTokens is 20; together they exceed the \d+ tokens that contextBytesMax \(30000\) has room for\.$/,
      )
      const cut = await run(answer(handle.target, { prompt, sampling: { maxTokens: 20 }, overflow: "drop-oldest" }))
      expect(cut.finished.cut?.droppedTurns).toBeGreaterThan(0)
    }
  })

  it("lets wait what does not fit now, and makes the same answers of it", async () => {
    const requests = Array.from({ length: 7 }, (_, index) => ({
      prompt: [user("the inner ring ".repeat(1 + (index % 4)))],
      sampling: { maxTokens: 12 + 8 * index, temperature: 0.8, topK: 20, seed: index },
    }))
    const ask = async ({ handle }: (typeof engines)[number]) => {
      const { counters, setStepDelayMs, target } = handle
      await run(setStepDelayMs(1e9))
      const each = requests.map((request) => answer(target, request))
      const asking = run(Effect.all(each, { concurrency: "unbounded" }))
      await run(counters)
      await run(setStepDelayMs(0))
      const most = { running: 0, cachedBytes: 0 }
      let over = false
      const answers = asking.finally(() => (over = true))
      while (!over) {
        const { cachedBytes, runningRequests } = await run(counters)
        most.running = Math.max(most.running, runningRequests)
        most.cachedBytes = Math.max(most.cachedBytes, cachedBytes)
      }
      return { tokenIds: (await answers).map(({ tokenIds }) => tokenIds), most }
    }
    const [plenty, ...scarce] = await Promise.all(engines.map(ask))
    for (const { most, tokenIds } of scarce) {
      expect(tokenIds).toEqual(plenty!.tokenIds)
      expect(most.running).toBeLessThan(6)
      expect(most.cachedBytes).toBeLessThanOrEqual(CONTEXT_BYTES_MAX)
    }
  })
})
