/**
 * The boundary of one chaos run: callers ask models for answers while a `Disturber` has their processes die in every way,
 * and afterwards everything is compared with what it should be. A pool of two and a model alone share the load, so that
 * answers are taken up by another replica and by the same one restarted.
 *
 * What is checked: every caller got one end to each request, the undisturbed text byte for byte, no token twice and none
 * missing in what a stream said; the log holds each request once, done, with that reply and one last word; its own checkers
 * find nothing; no process of an engine is left.
 */
import { fileURLToPath } from "node:url"
import { Engine, type GenerateChunk, ModelActor, type Sampling } from "@pontoon/agents"
import { ActorSystem, LogReader, makePool } from "@pontoon/runtime"
import { checkLog, type LogContents, readContents, seededRandom } from "@pontoon/runtime/testing"
import { SqliteStore } from "@pontoon/store"
import { Context, Effect, Exit, Layer, Scope, Stream } from "effect"
import { type Disturbance, Disturber } from "./Disturber.ts"
import { engineChildren } from "./EngineChildren.ts"

export interface ChaosOptions {
  readonly seed: number
  /** The database, made by the run. */
  readonly file: string
  /** Whether it has been enough; looked at before each request. Requests that are under way are finished. */
  readonly isEnough: (disturbances: number) => boolean
}

export interface ChaosReport {
  readonly requests: number
  readonly disturbances: ReadonlyMap<Disturbance, number>
  /** How often an answer was taken up after its process had gone. */
  readonly takeovers: number
  /** Processes that came up. */
  readonly starts: number
  /** The longest time from a request to its end, ms. */
  readonly longestMs: number
  readonly violations: ReadonlyArray<string>
}

const FOLDER = fileURLToPath(new URL("../../models/barista-mini", import.meta.url))
const CALLERS = 6
/** A chunk is a moment, and an answer has some 20 of them: about every fourth answer is disturbed. */
const SHARE = 0.012
const QUESTIONS = [
  "hi, can i get a large iced vanilla latte with oat milk to go please",
  "one chai latte to go",
  "an espresso please",
  "what do you have",
  "two cappuccinos, one of them decaf",
  "a small hot chocolate with whipped cream",
]
const SAMPLINGS: ReadonlyArray<Sampling> = [
  { maxTokens: 40 },
  { maxTokens: 40, temperature: 0.9, topK: 30, seed: 11 },
  { maxTokens: 40, temperature: 1.2, topP: 0.9, seed: 5, repetitionPenalty: 1.1 },
]

const REQUESTS = QUESTIONS.flatMap((content) =>
  SAMPLINGS.map((sampling) => ({ prompt: [{ role: "user", content }] as const, sampling })),
)

interface Answered {
  readonly text: string
  readonly tokenIds: ReadonlyArray<number>
}

/** What each request is answered when nothing happens. */
const answerCalmly = Effect.gen(function* () {
  const { target } = yield* Engine.decoder({ folder: FOLDER })
  return yield* Effect.forEach(REQUESTS, (request) =>
    Stream.runFold(
      target.generate(request),
      (): Answered => ({ text: "", tokenIds: [] }),
      (soFar, event) =>
        event._tag === "Tokens"
          ? { text: soFar.text + event.text, tokenIds: [...soFar.tokenIds, ...event.tokenIds] }
          : soFar,
    ),
  )
}).pipe(Effect.scoped)

const heardIn = (chunks: ReadonlyArray<GenerateChunk>): Answered => ({
  text: chunks.map((chunk) => (chunk._tag === "Tokens" ? chunk.text : "")).join(""),
  tokenIds: chunks.flatMap((chunk) => (chunk._tag === "Tokens" ? chunk.tokenIds : [])),
})

const differ = (a: Answered, b: Answered): boolean =>
  a.text !== b.text || a.tokenIds.length !== b.tokenIds.length || a.tokenIds.some((id, at) => id !== b.tokenIds[at])

/** Nothing is given up: a run has hundreds of deaths. Restarts are quick, because time is what the load needs. */
const SUPERVISION = { restartsMax: 1_000, withinMs: 1_000, backoff: { baseMs: 10, factor: 2, maxMs: 200, jitter: 0.5 } }
const RETRY = { attemptsMax: 1_000, backoff: { baseMs: 10, factor: 2, maxMs: 200, jitter: 0.5 } }

const makeModels = (disturber: Disturber) => {
  const engine = { folder: FOLDER, heapBytesMax: 48 * 1024 * 1024, silenceMsMax: 3_000, silenceMsMin: 1_500 }
  const terms = { slots: 3, supervision: SUPERVISION, retry: RETRY, loadMsMax: 10_000 }
  const replica = ModelActor.make("replica", { ...engine, ...terms, onStarted: disturber.onStarted("replica") })
  const alone = ModelActor.make("alone", { ...engine, ...terms, onStarted: disturber.onStarted("alone") })
  const pool = makePool("pool", { targets: [replica.ref("a"), replica.ref("b")] })
  return { actors: [replica, alone], pools: [pool], refs: [pool.ref, alone.ref("x")] as const }
}

type System = ActorSystem["Service"]
type Refs = ReturnType<typeof makeModels>["refs"]

interface Witness {
  /** Ends by key: what was said of the request, how often. */
  readonly ends: Map<string, number>
  readonly violations: Array<string>
  /** By key, which request it was. */
  readonly asked: Map<string, number>
  takeovers: number
  longestMs: number
}

/** One request, from the call to everything that its caller can know of it. */
const askOnce = Effect.fnUntraced(function* (
  system: System,
  ref: Refs[number],
  nth: number,
  key: string,
  witness: Witness,
  disturber: Disturber,
  expected: Answered,
) {
  const request = REQUESTS[nth]!
  const options = { idempotencyKey: key }
  const startedAtMs = performance.now()
  const chunks: Array<GenerateChunk> = []
  yield* Stream.runForEach(system.stream(ref, "Generate", request, options), (chunk) =>
    Effect.sync(() => {
      chunks.push(chunk)
      disturber.moment()
    }),
  )
  const whole = yield* system.ask(ref, "Generate", request, options)
  witness.longestMs = Math.max(witness.longestMs, performance.now() - startedAtMs)
  witness.ends.set(key, (witness.ends.get(key) ?? 0) + 1)
  witness.takeovers += whole.resumed.length
  if (differ(whole, expected)) witness.violations.push(`${key}: "${whole.text}" instead of "${expected.text}"`)
  if (differ(heardIn(chunks), expected))
    witness.violations.push(`${key}: its stream said something else than its reply`)
})

const callUntilEnough = Effect.fnUntraced(function* (
  caller: number,
  system: System,
  refs: Refs,
  options: ChaosOptions,
  witness: Witness,
  disturber: Disturber,
  calm: ReadonlyArray<Answered>,
) {
  const random = seededRandom(options.seed + caller)
  for (let count = 0; !options.isEnough(disturber.total); count++) {
    const nth = random.below(REQUESTS.length)
    const key = `caller-${caller}/${count}`
    witness.asked.set(key, nth)
    const asking = askOnce(system, random.pick(refs), nth, key, witness, disturber, calm[nth]!)
    yield* Effect.catch(asking, (error) =>
      Effect.sync(() => witness.violations.push(`${key} failed: ${error.message}`)),
    )
  }
})

/** What the log must hold of each request, whatever happened. */
const checkRequests = (
  contents: LogContents,
  witness: Witness,
  calm: ReadonlyArray<Answered>,
): ReadonlyArray<string> => {
  const violations: Array<string> = []
  const seen = new Map<string, number>()
  for (const message of contents.messages) {
    const key = message.idempotencyKey ?? ""
    seen.set(key, (seen.get(key) ?? 0) + 1)
    if (message.status !== "done") violations.push(`${key} is ${message.status} in the log, and not done`)
    const last = (contents.chunks.get(message.id) ?? []).filter(({ data }) => data.includes('"Finished"'))
    if (last.length !== 1) violations.push(`${key} has ${last.length} last words in the log`)
    const nth = witness.asked.get(key)
    const text = nth === undefined ? undefined : calm[nth]?.text
    if (text === undefined || !(message.reply ?? "").includes(JSON.stringify(text))) {
      violations.push(`${key} has another reply in the log than its caller should get`)
    }
  }
  for (const key of witness.asked.keys()) {
    if (seen.get(key) !== 1) violations.push(`${key} is ${seen.get(key) ?? 0} times in the log`)
    if (witness.ends.get(key) !== 1) violations.push(`${key} ended ${witness.ends.get(key) ?? 0} times for its caller`)
  }
  return violations
}

/** Lets engines die under load until it is enough, and says what came of it. */
export const runChaos = (options: ChaosOptions): Effect.Effect<ChaosReport> =>
  Effect.gen(function* () {
    const calm = yield* answerCalmly
    const disturber = new Disturber(seededRandom(options.seed), SHARE)
    const witness: Witness = { ends: new Map(), violations: [], asked: new Map(), takeovers: 0, longestMs: 0 }
    const { actors, pools, refs } = makeModels(disturber)
    const scope = yield* Scope.make()
    const layer = ActorSystem.layer({ actors, pools }).pipe(Layer.provideMerge(SqliteStore.layer(options.file)))
    const services = yield* Layer.buildWithScope(layer, scope)
    const system = Context.get(services, ActorSystem)
    const callers = Array.from({ length: CALLERS }, (_, caller) =>
      callUntilEnough(caller, system, refs, options, witness, disturber, calm),
    )
    yield* Effect.all(callers, { concurrency: "unbounded" })
    disturber.end()
    const reader = Context.get(services, LogReader)
    const contents = yield* readContents(reader)
    yield* Scope.close(scope, Exit.void)
    const left = engineChildren()
    const violations = [
      ...witness.violations,
      ...checkRequests(contents, witness, calm),
      ...checkLog(contents, { drained: true, isSerial: () => false }),
      ...left.map((pid) => `process ${pid} of an engine is left behind`),
    ]
    return {
      requests: witness.asked.size,
      disturbances: disturber.counts,
      takeovers: witness.takeovers,
      starts: disturber.starts,
      longestMs: witness.longestMs,
      violations,
    }
  }).pipe(Effect.orDie)
