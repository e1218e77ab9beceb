/**
 * The cases of behaviour: what waits for what. Beside each stands ours under the condition that it is held against.
 */
import { monitorEventLoopDelay } from "node:perf_hooks"
import { Effect } from "effect"
import { type Ours, openOurs } from "./openOurs.ts"
import { openPeer } from "./openPeer.ts"
import { type BenchCase, firstTokenMs, type Measurements, makeRequest, runAtOnce } from "./Requests.ts"
import { COLD, folderOf, makeRequests, measureOurs, THREADS } from "./throughput.ts"

const MODEL = "27M"
const SLOTS = 8

const withOurs = async <A>(slots: number, cold: boolean, use: (ours: Ours) => Promise<A>): Promise<A> => {
  const ours = await openOurs({
    ...{ folder: folderOf(MODEL), dtype: "fp32", slots, intraOpNumThreads: THREADS },
    ...(cold ? COLD : {}),
  })
  await ours.answer(makeRequest(32, 4, 7000))
  const result = await use(ours)
  await ours.close()
  return result
}

/** Four times as many requests as slots: how many of the slots were held while somebody waited. */
const measureOccupancy = (): Promise<Measurements> =>
  withOurs(SLOTS, true, async (ours) => {
    const ends: Array<{ readonly fromMs: number; readonly toMs: number }> = []
    await runAtOnce(makeRequests(MODEL, 4 * SLOTS, 64, 24), 4 * SLOTS, async (request) => {
      const answer = await ours.answer(request)
      const toMs = answer.tokenAtMs.at(-1) ?? 0
      ends.push({ fromMs: toMs - answer.inSlotMs, toMs })
    })
    const startedMs = Math.min(...ends.map(({ fromMs }) => fromMs))
    const queueEndedMs = Math.max(...ends.map(({ fromMs }) => fromMs))
    const held = ends.reduce((sum, { fromMs, toMs }) => sum + Math.max(0, Math.min(toMs, queueEndedMs) - fromMs), 0)
    return { "slots held %": Math.min(100, (100 * held) / (SLOTS * (queueEndedMs - startedMs))) }
  })

const measureSecondTurn = (cacheKey: string | undefined) => (): Promise<Measurements> =>
  withOurs(2, cacheKey === undefined, async (ours) => {
    const { messages } = makeRequest(512, 1, 1)
    const content = messages[0]?.content ?? ""
    const keyed = cacheKey === undefined ? {} : { cacheKey }
    await ours.answer({ messages, tokensMax: 2 }, keyed)
    const second = {
      messages: [{ role: "user" as const, content: `${content}and a second turn of 32 letters` }],
      tokensMax: 2,
    }
    return { "first token ms": firstTokenMs(await ours.answer(second, keyed)) }
  })

/** How late this process's own timers are. */
const measureLoop = (requests: number) => (): Promise<Measurements> =>
  withOurs(32, true, async (ours) => {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    if (requests > 0)
      await runAtOnce(makeRequests(MODEL, requests, 64, 24), requests, (request) => ours.answer(request))
    // As long as the requests take.
    else await Effect.runPromise(Effect.sleep(3000))
    delay.disable()
    return { "loop p99 ms": delay.percentile(99) / 1e6 }
  })

const NEIGHBOUR_TOKENS = 160

/** Eight write; after their 32nd token a prompt of 1000 tokens comes. */
const measureArrival = (
  neighbours: boolean,
  arrival: boolean,
): Promise<{ readonly perTokenMs: number; readonly firstMs: number }> =>
  withOurs(SLOTS + 1, true, async (ours) => {
    const long = () => ours.answer(makeRequest(1000, 2, 3000))
    if (!neighbours) return { perTokenMs: 0, firstMs: firstTokenMs(await long()) }
    let noted = 0
    let arrived: (() => void) | undefined
    const soon = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const writing = runAtOnce(makeRequests(MODEL, SLOTS, 64, NEIGHBOUR_TOKENS), SLOTS, (request) =>
      ours.answer(request, {
        onTokens: () => {
          noted++
          if (noted === 32 * SLOTS) arrived?.()
        },
      }),
    )
    await soon
    const fromMs = performance.now()
    const first = arrival ? firstTokenMs(await long()) : 0
    const toMs = arrival ? fromMs + first : fromMs + 1000
    const answers = await writing
    const times = answers.flatMap(({ tokenAtMs }) => tokenAtMs.filter((atMs) => atMs > fromMs && atMs <= toMs))
    return { perTokenMs: ((toMs - fromMs) * SLOTS) / times.length, firstMs: first }
  })

const figuresOf = (perTokenMs: number, firstMs: number): Measurements => ({
  "neighbours' ms/token": perTokenMs,
  "first token of 1000 ms": firstMs,
})

const measureRestart = async (): Promise<Measurements> => {
  const before = await openOurs({ folder: folderOf(MODEL), dtype: "fp32", intraOpNumThreads: THREADS })
  process.kill(before.handle.pid, "SIGKILL")
  await Effect.runPromise(Effect.flip(before.handle.target.died))
  const fromMs = performance.now()
  const again = await openOurs({ folder: folderOf(MODEL), dtype: "fp32", intraOpNumThreads: THREADS })
  const answer = await again.answer(makeRequest(32, 1, 1))
  const ms = (answer.tokenAtMs[0] ?? Number.NaN) - fromMs
  await Promise.all([again.close(), before.close()])
  return { "serving again ms": ms }
}

const measurePeerStart = async (): Promise<Measurements> => {
  const fromMs = performance.now()
  const peer = await openPeer(folderOf(MODEL), "fp32", THREADS)
  const answer = await peer.answer(makeRequest(32, 1, 1))
  await peer.close()
  return { "serving again ms": (answer.tokenAtMs[0] ?? Number.NaN) - fromMs }
}

const eight = { atOnce: 8, model: MODEL, context: 64, tokensMax: 64 } as const

export const behaviourCases: ReadonlyArray<BenchCase> = [
  {
    name: `occupancy, ${4 * SLOTS} requests for ${SLOTS} slots`,
    peer: "every slot held all the time",
    runOurs: measureOccupancy,
    runPeer: async () => ({ "slots held %": 100 }),
  },
  {
    name: "second turn, 512 tokens cached",
    peer: "the same prompt, cold",
    runOurs: measureSecondTurn("conversation"),
    runPeer: measureSecondTurn(undefined),
  },
  { name: "event loop, 32 at once", peer: "an idle engine", runOurs: measureLoop(32), runPeer: measureLoop(0) },
  {
    name: "1000-token prompt beside 8",
    peer: "neighbours without it, and it without neighbours",
    runOurs: async () => {
      const { firstMs, perTokenMs } = await measureArrival(true, true)
      return figuresOf(perTokenMs, firstMs)
    },
    runPeer: async () => {
      const { perTokenMs } = await measureArrival(true, false)
      return figuresOf(perTokenMs, (await measureArrival(false, true)).firstMs)
    },
  },
  {
    name: "restart after SIGKILL",
    peer: "transformers.js, loaded in process",
    runOurs: measureRestart,
    runPeer: measurePeerStart,
  },
  {
    name: "int8, 8 at once",
    peer: "ours, fp32",
    runOurs: measureOurs({ ...eight, dtype: "int8" }),
    runPeer: measureOurs(eight),
  },
]
