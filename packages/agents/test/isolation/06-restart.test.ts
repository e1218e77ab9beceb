/** A model actor alone, with nobody to take over: it finishes its answers itself, on a new process. */
import { Effect } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type DecoderHandle, ModelActor, type Sampling } from "../../src/index.ts"
import { openWorld, readAll, watchDecoders } from "../support/actorWorld.ts"
import { fixture } from "../support/engines.ts"

const run = Effect.runPromise
const decoders = watchDecoders()
/** Between two steps: long enough that what happens on one chunk comes before the next. */
const STEP_DELAY_MS = 10
const restarting = { restartsMax: 100, backoff: { baseMs: 1, factor: 1, maxMs: 1, jitter: 0 } }
const model = ModelActor.make("model", {
  folder: fixture("tiny-decoder"),
  onStarted: decoders.onStarted("model", STEP_DELAY_MS),
  supervision: restarting,
  heapBytesMax: 64 * 1024 * 1024,
  silenceMsMax: 2_000,
})
/** Gives up at once. */
const mortal = ModelActor.make("mortal", {
  folder: fixture("tiny-decoder"),
  onStarted: decoders.onStarted("mortal", STEP_DELAY_MS),
  supervision: { restartsMax: 0 },
})

const payload = (sampling: Sampling) => ({
  prompt: [{ role: "user", content: "the ring" }] as const,
  sampling,
})
/** At these settings the model hits its end token late. */
const SEEDED: Sampling = { maxTokens: 24, temperature: 0.7, topK: 5, seed: 1 }

describe("a model actor alone, whose process", () => {
  let world: Awaited<ReturnType<typeof openWorld>>
  beforeAll(async () => {
    world = await openWorld({ actors: [model, mortal] })
  })
  afterAll(() => world.close())

  /** Reads an answer, has something happen to its process after three tokens, and gives the whole. */
  const disturb = async (id: string, sampling: Sampling, happen: (handle: DecoderHandle) => Effect.Effect<void>) => {
    const options = { idempotencyKey: `${id}/answer` }
    const ref = model.ref(id)
    let victim: number | undefined
    const chunks = await readAll(world.system().stream(ref, "Generate", payload(sampling), options), (_, soFar) => {
      const tokens = soFar.flatMap((chunk) => (chunk._tag === "Tokens" ? chunk.tokenIds : [])).length
      if (victim !== undefined || tokens < 3) return
      const handle = decoders.of(`model/${id}`)
      victim = handle.pid
      Effect.runSync(happen(handle))
    })
    const answer = await run(world.system().ask(ref, "Generate", payload(sampling), options))
    const reasons = world.lifecycle().flatMap((event) => (event.actorId === id ? [event.reason ?? ""] : []))
    return { answer, chunks, reasons, victim, successor: decoders.of(`model/${id}`).pid }
  }

  it.each<[string, string, (handle: DecoderHandle) => Effect.Effect<void>, RegExp]>([
    ["is killed", "killed", (h) => Effect.sync(() => process.kill(h.pid, "SIGKILL")), /was killed by SIGKILL/],
    ["aborts in native code", "aborts", (h) => h.sufferFault("abort"), /was killed by SIGABRT/],
    ["runs out of memory", "memory", (h) => h.sufferFault("exhaustHeap"), /ran out of memory; it said: .*heap/i],
    ["hangs", "hangs", (h) => h.sufferFault("hang"), /was killed because it had not answered for \d+ ms/],
  ])("%s, finishes the answer on another, byte for byte", async (_, id, happen, says) => {
    const expected = await run(world.system().ask(model.ref("calm"), "Generate", payload(SEEDED)))
    expect(expected.resumed).toEqual([])
    const { answer, chunks, reasons, successor, victim } = await disturb(id, SEEDED, happen)
    expect({ text: answer.text, tokenIds: answer.tokenIds }).toEqual({
      text: expected.text,
      tokenIds: expected.tokenIds,
    })
    const me = `model/${id}`
    // A machine so slow that its process is taken for hanging has it taken up once more: that changes nothing.
    expect(answer.resumed.length).toBeGreaterThan(0)
    for (const takeover of answer.resumed) expect(takeover).toMatchObject({ from: me, to: me, mode: "exact" })
    // Readers see no token twice, and miss none.
    expect(chunks.flatMap((chunk) => (chunk._tag === "Tokens" ? chunk.tokenIds : []))).toEqual(expected.tokenIds)
    expect(successor).not.toBe(victim)
    // The lifecycle says what happened to which process, and who came after it.
    expect(reasons.filter((reason) => says.test(reason) && reason.includes(`(${victim})`))).not.toEqual([])
    expect(reasons.filter((reason) => /restart 1: model\/\S+ on cpu/.test(reason))).toHaveLength(1)
  })

  it("is not restarted for ever: what waits for it is told so", async () => {
    const options = { idempotencyKey: "last" }
    const failure = run(
      Effect.flip(world.system().ask(mortal.ref("m"), "Generate", payload({ maxTokens: 40 }), options)),
    )
    while (world.lifecycle().every(({ actorId, to }) => actorId !== "m" || to !== "ready")) {
      await run(Effect.yieldNow.pipe(Effect.delay(1)))
    }
    process.kill(decoders.of("mortal/m").pid, "SIGKILL")
    expect(String((await failure).message)).toMatch(/SIGKILL|failed/)
    expect(world.lifecycle().filter(({ actorId, to }) => actorId === "m" && to === "failed")).toHaveLength(1)
  })
})
