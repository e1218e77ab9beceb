/**
 * Short texts that are classified 64 at a time: the engine beside @huggingface/transformers on the same weights, texts and
 * threads. The peer is asked as a backend would, a call a text; it runs in this process, the engine's model in its own.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { fileURLToPath } from "node:url"
import { AutoModelForSequenceClassification, AutoTokenizer, env } from "@huggingface/transformers"
import { Effect, Exit, Scope } from "effect"
import { Engine } from "../src/index.ts"
import { makeRandomEncoder } from "./encoders/makeRandomEncoder.ts"

const TRAINED = fileURLToPath(new URL("../../../apps/demo/models/banking-intent", import.meta.url))
const VOCABULARY = 6144
const AT_ONCE = 64

const ASKED = [
  "where is my card",
  "i typed my pin wrong three times and now it is blocked",
  "why was i charged a fee for paying with my card abroad last week",
  "top up failed",
  "how do i activate the new card that arrived in the mail today, please?",
  "exchange rate",
]
/** 4 to 20 tokens each, no two alike. */
const texts = Array.from({ length: 4 * AT_ONCE }, (_, index) => `${ASKED[index % ASKED.length]} ${index}`)

/** Has all texts read, 64 at once, and says what that took. */
const measure = async (read: (text: string) => Promise<unknown>) => {
  // Caches and compilers warm up outside of what is measured.
  for (const text of texts.slice(0, 6)) await read(text)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const queue = [...texts]
  const work = async () => {
    for (let text = queue.shift(); text !== undefined; text = queue.shift()) await read(text)
  }
  delay.enable()
  const startedAtMs = performance.now()
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  const seconds = (performance.now() - startedAtMs) / 1000
  delay.disable()
  return { "texts/s": texts.length / seconds, "loop p99 ms": delay.percentile(99) / 1e6 }
}

interface Subject {
  readonly folder: () => { readonly path: string; readonly remove: () => void }
  readonly dtype: "fp32" | "int8"
}

const random: Subject = {
  folder: () => {
    const scratch = mkdtempSync(join(tmpdir(), "pontoon-bench-"))
    makeRandomEncoder(join(scratch, "encoder"), TRAINED, VOCABULARY)
    return { path: join(scratch, "encoder"), remove: () => rmSync(scratch, { recursive: true }) }
  },
  dtype: "fp32",
}
const trained: Subject = { folder: () => ({ path: TRAINED, remove: () => {} }), dtype: "int8" }

const runOurs =
  ({ dtype, folder }: Subject, threads: number) =>
  async () => {
    const { path, remove } = folder()
    const scope = Scope.makeUnsafe()
    const opening = Engine.encoder({ folder: path, dtype, intraOpNumThreads: threads, queueMax: AT_ONCE })
    const { target } = await Effect.runPromise(opening.pipe(Scope.provide(scope)))
    const measured = await measure((text) => Effect.runPromise(target.classify([text])))
    await Effect.runPromise(Scope.close(scope, Exit.void))
    remove()
    return measured
  }

const runPeer =
  ({ dtype, folder }: Subject, threads: number) =>
  async () => {
    const { path, remove } = folder()
    env.allowRemoteModels = false
    env.localModelPath = `${dirname(path)}/`
    const tokenizer = await AutoTokenizer.from_pretrained(basename(path))
    const model = await AutoModelForSequenceClassification.from_pretrained(basename(path), {
      dtype: dtype === "int8" ? "q8" : dtype,
      session_options: { intraOpNumThreads: threads },
    })
    const measured = await measure(async (text) => {
      const { logits } = await model(tokenizer(text, { truncation: true }))
      return logits.sigmoid().tolist()
    })
    await model.dispose()
    remove()
    return measured
  }

const cases = [1, 2].flatMap((threads) =>
  (
    [
      ["random, fp32", random],
      ["banking-intent, int8", trained],
    ] as const
  ).map(([name, subject]) => ({
    name: `${name}, ${threads} thread${threads === 1 ? "" : "s"}`,
    peer: "transformers.js",
    runOurs: runOurs(subject, threads),
    runPeer: runPeer(subject, threads),
  })),
)

export default {
  conditions: [
    `${texts.length} texts of 4 to 20 tokens, ${AT_ONCE} calls at once, a text a call; loading is not measured`,
    "random: MiniLM's shape (6 layers, 384 wide); banking-intent: 1 layer, 160 wide, one text a step as its int8 wants",
    "loop: delay of the event loop of the process that asks",
  ],
  cases,
}
