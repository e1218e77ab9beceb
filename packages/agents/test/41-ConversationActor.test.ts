/** A conversation over a real model: what it remembers, what it refuses, and how it is stopped. */
import { Effect, Fiber, Stream } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { ConversationActor, ModelActor } from "../src/index.ts"
import { openWorld, watchDecoders } from "./support/actorWorld.ts"
import { trained } from "./support/engines.ts"

const run = Effect.runPromise
const decoders = watchDecoders()
const model = ModelActor.make("barista", {
  folder: trained("barista"),
  slots: 2,
  onStarted: decoders.onStarted("barista"),
})
const sampling = { maxTokens: 40 }
const chat = ConversationActor.make("chat", { model: model.ref("a"), sampling })
const short = ConversationActor.make("short", { model: model.ref("a"), sampling, turnsMax: 3 })
const blank = ConversationActor.make("blank", { model: model.ref("a"), sampling, turnsMax: 0 })
const strict = ConversationActor.make("strict", { model: model.ref("a"), sampling, overflow: "refuse" })
const LONG = "and then a latte with milk and sugar ".repeat(10)

describe("a conversation", () => {
  let world: Awaited<ReturnType<typeof openWorld>>
  beforeAll(async () => {
    world = await openWorld({ actors: [model, chat, short, blank, strict], drainMsMax: 0 })
  })
  afterAll(() => world.close())
  const say = (id: string, text: string, options?: { readonly idempotencyKey?: string; readonly timeoutMs?: number }) =>
    world.system().ask(chat.ref(id), "Say", { text }, options)
  const turnsOf = (key: string) =>
    world.state(key) as { readonly turns: ReadonlyArray<{ readonly role: string }> } | null
  const childrenOf = (actorType: string, actorId: string) => {
    const parents = world.messages().filter((row) => row.actorType === actorType && row.actorId === actorId)
    return world.messages().filter((row) => parents.some(({ id }) => id === row.causationId))
  }

  it("1. that keeps less than nothing is refused where it is written", () => {
    for (const turnsMax of [-1, 1.5, Number.NaN]) {
      expect(() => ConversationActor.make("c", { model: model.ref("a"), turnsMax })).toThrow(
        `The conversation c has turnsMax ${turnsMax}; it must be a whole number, 0 or more.`,
      )
    }
  })

  it("2. remembers its turns over a restart, and over a death", async () => {
    const first = await run(say("a", "can i get a latte"))
    await world.restart()
    await run(say("a", "make it large"))
    await world.crash()
    const third = await run(say("a", "with oat milk please"))
    expect(turnsOf("chat/a")?.turns.map(({ role }) => role)).toEqual([
      "user",
      "assistant",
      "user",
      "assistant",
      "user",
      "assistant",
    ])
    expect(turnsOf("chat/a")?.turns[1]).toEqual({ role: "assistant", content: first.text })
    const last = childrenOf("chat", "a").at(-1)!
    expect(JSON.parse(last.body)).toMatchObject({ prompt: turnsOf("chat/a")?.turns.slice(0, 5), cacheKey: "chat/a" })
    expect(JSON.parse(last.reply!)).toMatchObject({ text: third.text })
  })

  it("3. forgets all but the latest turns, and begins with a customer's", async () => {
    for (const text of ["a mocha", "hot", "large"]) await run(world.system().ask(short.ref("a"), "Say", { text }))
    expect(turnsOf("short/a")?.turns.map(({ role }) => role)).toEqual(["user", "assistant"])
    for (const text of ["a mocha", "hot"]) await run(world.system().ask(blank.ref("a"), "Say", { text }))
    expect(turnsOf("blank/a")).toEqual({ turns: [] })
  })

  it("4. answers the same key once, and runs nothing for it", async () => {
    const first = await run(say("b", "an espresso", { idempotencyKey: "k" }))
    const { steps } = await run(decoders.of("barista/a").counters)
    const rows = world.messages().length
    expect(await run(say("b", "an espresso", { idempotencyKey: "k" }))).toEqual(first)
    expect((await run(decoders.of("barista/a").counters)).steps).toBe(steps)
    expect(world.messages()).toHaveLength(rows)
    expect(await run(Effect.flip(say("b", "a mocha", { idempotencyKey: "k" })))).toMatchObject({
      _tag: "TerminalIdempotencyConflict",
    })
  })

  it("5. that does not fit is cut by its rule or refused, by option; a refusal changes nothing", async () => {
    for (let turn = 0; turn < 5; turn++) await run(say("c", LONG))
    const cut = await run(say("c", LONG))
    expect(cut.cut).toMatchObject({ rule: "drop-oldest", droppedTurns: expect.any(Number) })
    // What was cut of the prompt is not cut of the memory.
    expect(turnsOf("chat/c")?.turns).toHaveLength(12)
    const strictly = (text: string) => world.system().ask(strict.ref("c"), "Say", { text })
    let turns = 0
    const refusal = await run(Effect.flip(Effect.forever(Effect.tap(strictly(LONG), () => Effect.sync(() => turns++)))))
    expect(refusal).toMatchObject({ _tag: "TerminalPromptTooLong", contextLength: 512 })
    expect(turns).toBeGreaterThan(0)
    expect(turnsOf("strict/c")?.turns).toHaveLength(2 * turns)
  })

  it("6. is cancelled down to the model's next step, and its memory is as it was", async () => {
    const { counters, setStepDelayMs } = decoders.of("barista/a")
    await run(setStepDelayMs(20))
    const program = Effect.gen(function* () {
      const id = yield* world.system().tell(chat.ref("d"), "Say", { text: "hi, can i get a large iced latte" })
      const outcome = yield* Effect.forkChild(world.system().outcome(id), { startImmediately: true })
      while (!world.messages().some((row) => row.causationId === id && world.chunks(row.id).length > 2)) {
        yield* Effect.yieldNow
      }
      expect(yield* world.system().cancel(id)).toBe(true)
      return yield* Fiber.join(outcome)
    })
    expect(await run(program)).toMatchObject({ status: "cancelled" })
    const left = await run(counters)
    await run(setStepDelayMs(0))
    const next = await run(say("e", "an espresso"))
    const after = await run(counters)
    expect(left.runningRequests + left.waitingRequests).toBeLessThanOrEqual(1)
    // Every step since is the next answer's, but for one that was under way.
    expect(after.steps - left.steps).toBeLessThanOrEqual(next.usage.completionTokens + 2)
    expect(turnsOf("chat/d")).toBeNull()
    expect(childrenOf("chat", "d").map(({ status }) => status)).toEqual(["cancelled"])
  })

  it("7. ends at its deadline, down to the model's next step", async () => {
    const { counters, setStepDelayMs } = decoders.of("barista/a")
    // Two steps take longer than it has.
    await run(setStepDelayMs(200))
    const late = await run(Effect.flip(say("f", "hi, can i get a large iced latte", { timeoutMs: 300 })))
    expect(late).toMatchObject({ _tag: "TerminalExpired" })
    await run(setStepDelayMs(0))
    const left = await run(counters)
    const next = await run(say("e", "an espresso"))
    const after = await run(counters)
    expect(after.steps - left.steps).toBeLessThanOrEqual(next.usage.completionTokens + 2)
    // By its own deadline, which is the same, or by the asker's: whichever alarm was first.
    const ends = childrenOf("chat", "f").map(({ status }) => status)
    expect(["expired", "cancelled"]).toContain(ends[0])
  })

  it("8. streams what it then has said", async () => {
    const chunks = await run(Stream.runCollect(world.system().stream(chat.ref("g"), "Say", { text: "a flat white" })))
    expect(chunks[0]).toEqual({ text: "", model: "barista/a" })
    const said = chunks.map(({ text }) => text).join("")
    expect(turnsOf("chat/g")?.turns[1]).toEqual({ role: "assistant", content: said })
  })

  it("9. ends a turn on the terms on which it was begun, when the program comes back with others", async () => {
    const ref = chat.ref("h")
    const calm = await run(say("i", "a large cold brew please"))
    await run(decoders.of("barista/a").setStepDelayMs(20))
    const id = await run(world.system().tell(ref, "Say", { text: "a large cold brew please" }))
    const child = () => world.messages().find((row) => row.causationId === id)
    while (world.chunks(child()?.id ?? "").length < 3) await run(Effect.delay(Effect.void, 1))
    const terms = {
      sampling: { ...sampling, temperature: 1, seed: 5 },
      system: "be short",
      overflow: "refuse",
    } as const
    const changed = ConversationActor.make("chat", { model: model.ref("a"), ...terms })
    await world.crash({ actors: [model, changed, short, blank, strict], drainMsMax: 0 })
    expect(await run(world.system().outcome(id))).toMatchObject({ status: "done" })
    expect(JSON.parse(child()!.body)).toMatchObject({ sampling, overflow: "drop-oldest" })
    expect(turnsOf("chat/h")?.turns[1]).toEqual({ role: "assistant", content: calm.text })
    // The next turn is asked for as the program says now.
    await run(world.system().ask(changed.ref("h"), "Say", { text: "to go" }))
    const last = childrenOf("chat", "h").at(-1)!
    expect(JSON.parse(last.body)).toMatchObject({ sampling: terms.sampling, overflow: "refuse" })
    expect(JSON.parse(last.body).prompt[0]).toEqual({ role: "system", content: "be short" })
  })
})
