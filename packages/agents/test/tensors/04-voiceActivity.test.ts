/**
 * Voice activity by Silero's two models, that were not made for Pontoon and carry a state from frame to frame: the state is
 * the actor's, so it lasts over a crash, and two streams never mix.
 */
import { Effect, Schema } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Float32Elements, type NamedTensors, TensorActor, type TensorHandle } from "../../src/index.ts"
import { openWorld } from "../support/actorWorld.ts"
import { openDirectly, VAD } from "../support/shippedModels.ts"
import { joinSound, noise, RATE_HZ, silence, speak, tone } from "../support/speech.ts"

const run = Effect.runPromise
/** What the model was trained on: 32 ms, after the last 4 ms of the frame before. */
const FRAME = 512
const CONTEXT = 64

const Heard = Schema.Struct({ memory: Float32Elements, context: Float32Elements })
const nothing: typeof Heard.Type = { memory: new Float32Array(256), context: new Float32Array(CONTEXT) }

const encode = (samples: Float32Array, { context, memory }: typeof Heard.Type): NamedTensors => ({
  input: { type: "float32", dims: [1, CONTEXT + samples.length], data: joinSound(context, samples) },
  state: { type: "float32", dims: [2, 1, 128], data: memory },
  sr: { type: "int64", dims: [], data: BigInt64Array.of(BigInt(RATE_HZ)) },
})

const floats = (tensors: NamedTensors, name: string): Float32Array => {
  const found = tensors[name]
  if (found?.type !== "float32") throw new Error(`${name} holds no floats`)
  return found.data
}

let started: ReadonlyArray<TensorHandle> = []
const vad = TensorActor.stateful("vad", {
  file: VAD.v5,
  message: Schema.Struct({ samples: Float32Elements }),
  reply: Schema.Struct({ speech: Schema.Number }),
  state: Heard,
  initialState: nothing,
  encode: ({ samples }, heard) => {
    if (samples.length !== FRAME) throw new Error(`a frame has ${FRAME} samples, and this one ${samples.length}`)
    return encode(samples, heard)
  },
  decode: (outputs, { samples }) => ({
    reply: { speech: floats(outputs, "output")[0]! },
    state: { memory: floats(outputs, "stateN"), context: samples.slice(-CONTEXT) },
  }),
  onStarted: (_, handle) =>
    Effect.sync(() => {
      started = [...started, handle]
    }),
  supervision: { backoff: { baseMs: 1, factor: 1, maxMs: 1, jitter: 0 } },
})
const raw = TensorActor.plain("raw", { file: VAD.legacy })

const framesOf = (sound: Float32Array) =>
  Array.from({ length: Math.floor(sound.length / FRAME) }, (_, at) => sound.slice(at * FRAME, (at + 1) * FRAME))

/** The same loop over onnxruntime alone. */
const hearDirectly = async (sound: Float32Array) => {
  const direct = await openDirectly(VAD.v5)
  let heard = nothing
  const speech: Array<number> = []
  for (const samples of framesOf(sound)) {
    const { output, stateN } = await direct.run(encode(samples, heard))
    heard = { memory: Float32Array.from(stateN?.data ?? [], Number), context: samples.slice(-CONTEXT) }
    speech.push(Number(output?.data[0]))
  }
  await direct.close()
  return speech
}

describe("voice activity", () => {
  let world: Awaited<ReturnType<typeof openWorld>>
  beforeAll(async () => {
    world = await openWorld({ actors: [vad, raw] })
  })
  afterAll(() => world.close())
  const hear = (id: string, sound: Float32Array) =>
    Effect.map(
      Effect.forEach(framesOf(sound), (samples) => world.system().ask(vad.ref(id), "Run", { samples })),
      (replies) => replies.map(({ speech }) => speech),
    )

  it("1. ends a message that is no frame, with what `encode` says, and hears on", async () => {
    const failure = await run(Effect.flip(world.system().ask(vad.ref("a"), "Run", { samples: new Float32Array(5) })))
    expect(failure).toMatchObject({ _tag: "TerminalMessageFailed" })
    expect(failure.message).toContain("`encode` failed on this message: a frame has 512 samples, and this one 5")
    const nan = new Float32Array(FRAME).fill(Number.NaN)
    const none = await run(Effect.flip(world.system().ask(vad.ref("a"), "Run", { samples: nan })))
    expect(none.message).toContain('input "input" is not a number at element 64')
    expect(await run(hear("a", silence(0.1)))).toSatisfy((speech: ReadonlyArray<number>) => Math.max(...speech) < 0.2)
  })
  it.each([
    ["silence", silence(0.5)],
    ["noise", noise(0.5, 0.1)],
    ["a tone", tone(0.5, 440)],
  ] as const)("2. hears no speech in %s", async (_, sound) => {
    await run(world.system().ask(vad.ref("a"), "Reset", undefined))
    expect(Math.max(...(await run(hear("a", sound))))).toBeLessThan(0.3)
  })
  it("3. hears speech begin and end, frame for frame as onnxruntime alone, over a death in the middle", async () => {
    const sound = joinSound(silence(0.3), speak(), silence(0.6))
    const expected = await hearDirectly(sound)
    const half = FRAME * Math.floor(sound.length / FRAME / 2)
    const first = await run(hear("b", sound.slice(0, half)))
    const before = started.length
    process.kill(started.at(-1)!.pid, "SIGKILL")
    const second = await run(hear("b", sound.slice(half)))
    expect(started.length).toBe(before + 1)
    const heard = [...first, ...second]
    expect(heard).toEqual(expected)
    const frame = (seconds: number) => Math.floor((seconds * RATE_HZ) / FRAME)
    expect(Math.max(...heard.slice(0, frame(0.3)))).toBeLessThan(0.2)
    expect(Math.max(...heard.slice(frame(0.6), frame(1.2)))).toBeGreaterThan(0.95)
    expect(Math.max(...heard.slice(-frame(0.2)))).toBeLessThan(0.2)
  })
  it("4. keeps two streams apart, and begins anew after Reset", async () => {
    const sound = speak().slice(0, 10 * FRAME)
    const [one, other] = await run(Effect.all([hear("c", sound), hear("d", sound)], { concurrency: 2 }))
    expect(one).toEqual(other)
    expect(await run(hear("c", sound))).not.toEqual(one)
    await run(world.system().ask(vad.ref("c"), "Reset", undefined))
    expect(await run(hear("c", sound))).toEqual(one)
  })
  it("5. the older model takes plain tensors, through the log and back", async () => {
    const memory = { type: "float32", dims: [2, 1, 64], data: new Float32Array(128) } as const
    const [samples = new Float32Array(0)] = framesOf(speak().slice(2000))
    const inputs: NamedTensors = {
      input: { type: "float32", dims: [1, FRAME], data: samples },
      sr: { type: "int64", dims: [], data: BigInt64Array.of(16_000n) },
      ...{ h: memory, c: memory },
    }
    const outputs = await run(world.system().ask(raw.ref("a"), "Run", inputs))
    expect(Object.keys(outputs).sort()).toEqual(["cn", "hn", "output"])
    const direct = await openDirectly(VAD.legacy)
    expect(outputs.hn?.data).toEqual((await direct.run(inputs)).hn?.data)
    await direct.close()
  })
})
