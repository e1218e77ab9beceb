import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import type { DecoderOptions } from "../../src/index.ts"
import { assistant, fixture, system, user } from "../support/engines.ts"
import { type Asked, openLoaded } from "../support/loadedDecoders.ts"

const SYSTEM = "you sell rings and other things; be short, be kind, and never sell the inner ring to an ant."
const folder = fixture("tiny-decoder")
type Loaded = Awaited<ReturnType<typeof openLoaded>>

const kinds: ReadonlyArray<{ readonly name: string; readonly options: DecoderOptions }> = [
  { name: "answers that share steps", options: { folder, dtype: "fp32", slots: 4, prefillChunkTokens: 32 } },
  { name: "a 16-bit cache, in turns", options: { folder, dtype: "fp16", slots: 4, prefillChunkTokens: 32 } },
  { name: "activations quantised as they run", options: { folder, dtype: "int8", slots: 4, prefillChunkTokens: 16 } },
]

describe.each(kinds)("$name", ({ options }) => {
  let keeps: Loaded
  /** Keeps nothing, and is asked for one answer at a time. */
  let forgetful: Loaded
  const known = new Map<string, Promise<ReadonlyArray<number>>>()
  const chunk = options.dtype === "int8" ? 16 : 1
  beforeAll(async () => {
    keeps = await openLoaded(options)
    forgetful = await openLoaded({ ...options, cachedConversationsMax: 0 })
  })
  const alone = ({ cacheKey: _, ...asked }: Asked): Promise<ReadonlyArray<number>> => {
    const key = JSON.stringify(asked)
    const found = known.get(key) ?? forgetful.ask(asked).heard.then((heard) => heard!.tokenIds)
    known.set(key, found)
    return found
  }
  const tell = async (asked: Asked) => {
    const heard = await keeps.ask(asked).heard
    if (heard?.end._tag !== "Finished") throw new Error(`not finished: ${JSON.stringify(heard?.end)}`)
    expect(heard.tokenIds).toEqual(await alone(asked))
    return heard.end.usage
  }

  it("reads a system prompt once, whoever speaks after it, and says the same", async () => {
    const sampling = { maxTokens: 10, temperature: 0.8, seed: 3 }
    const first = await tell({ prompt: [system(SYSTEM), user("a ring")], sampling, cacheKey: "a" })
    expect(first.cachedTokens).toBe(0)
    const second = await tell({ prompt: [system(SYSTEM), user("the other thing")], sampling, cacheKey: "b" })
    const shared = second.promptTokens - second.cachedTokens
    // Of the system prompt all is kept; of what is kept, whole chunks are used where steps must begin where they began.
    expect(shared).toBeLessThan(20 + chunk)
    expect(second.cachedTokens % chunk).toBe(0)
    const third = await tell({ prompt: [system(SYSTEM), user("the other thing")], sampling: { maxTokens: 3 } })
    expect(third.cachedTokens).toBe(Math.floor((third.promptTokens - 1) / chunk) * chunk)
  })

  it("goes on with a conversation where it was, and where its answer is read as other tokens", async () => {
    const prompt = [user("where is the inner ring, and where in the ring is the ant?")]
    const sampling = { maxTokens: 24, temperature: 1, seed: 8 }
    const opening = await keeps.ask({ prompt, sampling, cacheKey: "c" }).heard
    const next = [...prompt, assistant(opening!.text), user("and then?")]
    const usage = await tell({ prompt: next, sampling, cacheKey: "c" })
    expect(usage.cachedTokens).toBeGreaterThan(chunk === 1 ? 40 : 31)
  })

  it("takes an answer up again as if it had never stopped, though the same tokens were read as a prompt since", async () => {
    const asked = { prompt: [user("the ring of the ant")], sampling: { maxTokens: 60, temperature: 0.9, seed: 5 } }
    const whole = await alone(asked)
    const { end, text } = (await forgetful.ask(asked).heard)!
    // The answer was made token by token; here it is read in chunks.
    await keeps.ask({ prompt: [...asked.prompt, assistant(text), user("so?")], sampling: { maxTokens: 1 } }).heard
    const told = whole.slice(0, 40)
    const resumed = await keeps.ask({ ...asked, resumeTokenIds: told }).heard
    expect([...told, ...resumed!.tokenIds]).toEqual(whole)
    if (end._tag !== "Finished" || resumed?.end._tag !== "Finished") throw new Error("not finished")
    const { cachedTokens } = resumed.end.usage
    expect(cachedTokens).toBeGreaterThan(0)
    // Where it matters how tokens were read, what was made one by one is made so again.
    if (chunk > 1) expect(cachedTokens).toBeLessThanOrEqual(end.usage.promptTokens)
    else expect(cachedTokens).toBeGreaterThan(end.usage.promptTokens)
  })

  it("says the same tokens over random schedules of arrivals, cancels and shared beginnings", async () => {
    const words = fc.constantFrom("a ring", "the inner ring", "the ant", "the other thing", "where?")
    const turn = fc.array(words, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(" and "))
    const request = fc.record({
      begins: fc.constantFrom([], [system(SYSTEM)], [system("be short")]),
      turns: fc.array(turn, { minLength: 1, maxLength: 3 }),
      maxTokens: fc.integer({ min: 1, max: 12 }),
      seed: fc.nat({ max: 1 }),
      temperature: fc.constantFrom(0, 0.9),
      cacheKey: fc.constantFrom("a", "b", "c"),
      /** Comes when so many tokens have been made in all. */
      comesAt: fc.nat({ max: 30 }),
      /** Is cancelled after so many of its own; mostly never. */
      leavesAfter: fc.constantFrom(1, 4, 100, 100, 100, 100),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 8 }), async (requests) => {
        let made = 0
        const waiting = [...requests].sort((a, b) => a.comesAt - b.comesAt)
        const running: Array<Promise<void>> = []
        const begin = ({
          begins,
          cacheKey,
          leavesAfter,
          maxTokens,
          seed,
          temperature,
          turns,
        }: (typeof requests)[number]) => {
          const spoken = turns.map((content, at) => (at % 2 === 0 ? user(content) : assistant(content)))
          const asked = { prompt: [...begins, ...spoken], sampling: { maxTokens, seed, temperature }, cacheKey }
          const { cancel, heard } = keeps.ask(asked, (tokenIds) => {
            made++
            if (tokenIds.length >= leavesAfter) cancel()
            beginDue()
          })
          running.push(
            heard.then(async (end) => end && expect(end.tokenIds).toEqual(await alone(asked))).then(() => {}),
          )
        }
        const beginDue = () => {
          while (waiting[0] !== undefined && waiting[0].comesAt <= made) begin(waiting.shift()!)
        }
        beginDue()
        while (running.length > 0 || waiting.length > 0) {
          await Promise.all(running.splice(0))
          if (waiting.length > 0) begin(waiting.shift()!)
        }
        expect(keeps.counters()).toMatchObject({ running: 0, waiting: 0 })
      }),
      { numRuns: 40 },
    )
    expect(keeps.counters().cachedConversations).toBeLessThanOrEqual(16)
  })
})
