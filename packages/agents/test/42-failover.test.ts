/** A model that dies in mid-answer: another one finishes it, and readers can tell how. */
import { type Actor, makePool } from "@pontoon/runtime"
import { Effect, Layer, Stream } from "effect"
import { LanguageModel, type Response } from "effect/ai"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { Generate } from "../src/actors/Generate.ts"
import { ConversationActor, languageModelTarget, ModelActor, type Sampling } from "../src/index.ts"
import { openWorld, readAll, watchDecoders } from "./support/actorWorld.ts"
import { trained } from "./support/engines.ts"

/** The one with the longest answer is asked: which one that is depends on the training. */
const QUESTIONS = [
  "hi, can i get a large iced vanilla latte with oat milk to go please",
  "one chai latte to go",
  "an espresso please",
  "what do you have",
]
/** Where an answer of `length` tokens is cut: after its first token, in its middle, and shortly before its end. */
const CUTS: ReadonlyArray<[string, (length: number) => number]> = [
  ["the first token", () => 1],
  ["half of it", (length) => Math.floor(length / 2)],
  ["all but three", (length) => length - 3],
]
/** Between two steps of a victim: long enough that a kill on one chunk comes before the next. */
const STEP_DELAY_MS = 20
const run = Effect.runPromise
const decoders = watchDecoders()
const barista = ModelActor.make("barista", {
  folder: trained("barista"),
  onStarted: decoders.onStarted("barista", STEP_DELAY_MS),
  supervision: { restartsMax: 100, backoff: { baseMs: 1, factor: 1, maxMs: 1, jitter: 0 } },
})
/** Dies once and for all. */
const mortal = ModelActor.make("mortal", {
  folder: trained("barista"),
  onStarted: decoders.onStarted("mortal", STEP_DELAY_MS),
  supervision: { restartsMax: 0 },
})
const mini = ModelActor.make("mini", { folder: trained("barista-mini") })

const REMOTE_SAYS = ["One iced ", "vanilla latte, ", "coming up."]
const parts = Stream.fromIterable<Response.StreamPartEncoded>([
  { type: "text-start", id: "1" },
  ...REMOTE_SAYS.map((delta) => ({ type: "text-delta" as const, id: "1", delta })),
  { type: "text-end", id: "1" },
  {
    type: "finish",
    reason: "stop",
    usage: {
      inputTokens: { total: 5, uncached: 5, cacheRead: undefined, cacheWrite: undefined },
      outputTokens: { total: 7, text: 7, reasoning: undefined },
    },
    response: undefined,
  },
])
const remoteModel = Layer.effect(
  LanguageModel.LanguageModel,
  LanguageModel.make({ generateText: () => Effect.succeed([]), streamText: () => parts }),
)
const remote = ModelActor.fromTarget("remote", () =>
  Effect.provide(languageModelTarget({ name: "remote" }), remoteModel),
)

const twins = makePool("twins", { targets: [barista.ref("a"), barista.ref("b")] })
const withMini = makePool("with-mini", { targets: [mortal.ref("m"), { ref: mini.ref("a"), tier: 1 }] })
const withRemote = makePool("with-remote", { targets: [mortal.ref("r"), { ref: remote.ref("a"), tier: 1 }] })
const chat = ConversationActor.make("chat", { model: withRemote.ref })
const actors = [barista, mortal, mini, remote, chat]

const promptOf = (content: string) => [{ role: "user", content }] as const

describe("an answer whose model is killed", () => {
  let world: Awaited<ReturnType<typeof openWorld>>
  beforeAll(async () => {
    world = await openWorld({ actors, pools: [twins, withMini, withRemote] })
    const answers = await Promise.all(
      QUESTIONS.map(async (content) => {
        const { tokenIds } = await run(world.system().ask(twins.ref, "Generate", { prompt: promptOf(content) }))
        return { content, length: tokenIds.length }
      }),
    )
    question = answers.reduce((a, b) => (b.length > a.length ? b : a)).content
  })
  afterAll(() => world.close())
  let question = ""
  const generate = (pool: Actor.Ref<typeof Generate>, sampling: Sampling, key: string) =>
    world.system().stream(pool, "Generate", { prompt: promptOf(question), sampling }, { idempotencyKey: key })
  const whole = (pool: Actor.Ref<typeof Generate>, sampling: Sampling, key: string) =>
    run(world.system().ask(pool, "Generate", { prompt: promptOf(question), sampling }, { idempotencyKey: key }))

  /** Reads an answer, and kills its model with -9 after the given number of tokens. */
  const readAndKill = async (pool: Actor.Ref<typeof Generate>, sampling: Sampling, cut: number) => {
    const key = `${pool.type}/${JSON.stringify(sampling)}/${cut}`
    let victim: string | undefined
    const chunks = await readAll(generate(pool, sampling, key), (_, soFar) => {
      const tokens = soFar.flatMap((chunk) => (chunk._tag === "Tokens" ? chunk.tokenIds : [])).length
      const model = soFar.flatMap((chunk) => (chunk._tag === "Began" ? [chunk.model] : [])).at(-1)
      if (victim !== undefined || model === undefined || tokens < cut) return
      victim = model
      process.kill(decoders.of(model).pid, "SIGKILL")
    })
    return { chunks, victim, answer: await whole(pool, sampling, key) }
  }

  describe.each<[string, Sampling]>([
    ["greedy", { maxTokens: 40 }],
    ["seeded", { maxTokens: 40, temperature: 0.9, topK: 30, seed: 11 }],
  ])("%s", (name, sampling) => {
    it.each(CUTS)("1. after %s: the twin's whole is equal, byte for byte", async (_, cutOf) => {
      const calm = await whole(twins.ref, sampling, `calm/${name}`)
      expect(calm.resumed).toEqual([])
      expect(calm.tokenIds.length).toBeGreaterThan(8)
      const cut = cutOf(calm.tokenIds.length)
      const { answer, chunks, victim } = await readAndKill(twins.ref, sampling, cut)
      expect(answer.text).toBe(calm.text)
      expect(answer.tokenIds).toEqual(calm.tokenIds)
      expect(answer.resumed).toMatchObject([{ from: victim, mode: "exact" }])
      expect(answer.resumed[0]!.atToken).toBeGreaterThanOrEqual(cut)
      // Readers see no token twice, and miss none.
      expect(chunks.flatMap((chunk) => (chunk._tag === "Tokens" ? chunk.tokenIds : []))).toEqual(calm.tokenIds)
      expect(chunks.map((chunk) => (chunk._tag === "Tokens" ? chunk.text : "")).join("")).toBe(calm.text)
      expect(chunks.filter(({ _tag }) => _tag === "Finished")).toHaveLength(1)
    })
  })

  it("2. is gone on with by the fallback, marked in a chunk and in the whole", async () => {
    const { answer, chunks } = await readAndKill(withMini.ref, { maxTokens: 40 }, 3)
    const [takeover] = answer.resumed
    expect(answer.resumed).toEqual([{ from: "mortal/m", to: "mini/a", atToken: takeover!.atToken, mode: "prefix" }])
    expect(chunks).toContainEqual(expect.objectContaining({ _tag: "Began", model: "mini/a", resumed: takeover }))
    const kept = chunks.slice(
      0,
      chunks.findIndex((chunk) => chunk._tag === "Began" && chunk.model === "mini/a"),
    )
    const prefix = kept.map((chunk) => (chunk._tag === "Tokens" ? chunk.text : "")).join("")
    expect(prefix.length).toBeGreaterThan(0)
    expect(answer.text.startsWith(prefix)).toBe(true)
    expect(answer.model).toBe("mini/a")
    expect(world.lifecycle().filter(({ actorId, to }) => actorId === "m" && to === "failed")).toHaveLength(1)
  })

  it("3. starts over at a model that cannot go on, and the conversation takes back what it had said", async () => {
    let killed = false
    const said = world.system().stream(chat.ref("c"), "Say", { text: question }, { idempotencyKey: "say" })
    const chunks = await readAll(said, ({ text }) => {
      if (killed || text === "") return
      killed = true
      process.kill(decoders.of("mortal/r").pid, "SIGKILL")
    })
    const answer = await run(world.system().ask(chat.ref("c"), "Say", { text: question }, { idempotencyKey: "say" }))
    expect(answer.text).toBe(REMOTE_SAYS.join(""))
    expect(answer.resumed).toMatchObject([{ from: "mortal/r", to: "remote", mode: "restart" }])
    const takeover = chunks.findIndex(({ resumed }) => resumed?.mode === "restart")
    const texts = (from: number, to?: number) =>
      chunks
        .slice(from, to)
        .map(({ text }) => text)
        .join("")
    expect(texts(0, takeover).length).toBeGreaterThan(0)
    expect(texts(takeover)).toBe(answer.text)
    expect(world.state("chat/c")).toEqual({
      turns: [
        { role: "user", content: question },
        { role: "assistant", content: answer.text },
      ],
    })
  })

  it("4. outlives the whole program: what was said is not said again", async () => {
    const calm = await whole(twins.ref, { maxTokens: 40 }, "calm/greedy")
    const ref = twins.ref
    const reader = readAll(generate(ref, { maxTokens: 40 }, "program"), () => {}).catch(() => [])
    const message = () => world.messages().find(({ idempotencyKey }) => idempotencyKey === "program")
    while (world.chunks(message()?.id ?? "").length < 4) await run(Effect.yieldNow.pipe(Effect.delay(1)))
    await world.crash()
    await reader
    const answer = await whole(ref, { maxTokens: 40 }, "program")
    expect({ text: answer.text, tokenIds: answer.tokenIds }).toEqual({ text: calm.text, tokenIds: calm.tokenIds })
    expect(answer.resumed).toHaveLength(1)
    expect(message()).toMatchObject({ status: "done", attempt: 2 })
  })
})
