/**
 * The boundary between requests and figures: what is asked, when tokens came, and what that comes to.
 */
import type { ChatMessage } from "../../src/index.ts"

/** Figures by metric, unit included; both sides of a case give the same. */
export type Measurements = Readonly<Record<string, number>>

/** Ours beside one peer, as `scripts/bench` takes it. */
export interface BenchCase {
  readonly name: string
  readonly peer: string
  readonly runOurs: () => Promise<Measurements>
  readonly runPeer: () => Promise<Measurements>
}

export interface BenchRequest {
  readonly messages: ReadonlyArray<ChatMessage>
  readonly tokensMax: number
}

/** When the tokens of one answer came: milliseconds of `performance.now()`, one for each. */
export interface TimedAnswer {
  readonly tokenAtMs: ReadonlyArray<number>
  readonly startedAtMs: number
}

/**
 * A prompt of exactly so many tokens of a generated decoder (one a letter). Prompts of different `variant` begin differently,
 * so that none is read twice: what is kept of prefixes is another case.
 */
export const makeRequest = (promptTokens: number, tokensMax: number, variant: number): BenchRequest => {
  const letter = (at: number) => String.fromCharCode(97 + ((variant * 7 + at * (3 + (variant % 5))) % 26))
  const head = `${String.fromCharCode(33 + (variant % 90))}${String.fromCharCode(33 + (Math.floor(variant / 90) % 90))}`
  const content = `${head}${Array.from({ length: promptTokens - head.length }, (_, at) => letter(at)).join("")}`
  return { messages: [{ role: "user", content }], tokensMax }
}

/** Runs at most `atOnce` at a time, each next one as soon as one has ended. */
export const runAtOnce = async <A>(
  requests: ReadonlyArray<BenchRequest>,
  atOnce: number,
  answer: (request: BenchRequest) => Promise<A>,
): Promise<ReadonlyArray<A>> => {
  const queue = [...requests.entries()]
  const answers: Array<A> = []
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) answers[next[0]] = await answer(next[1])
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return answers
}

/** Tokens a second from the first request's start to the last token, reading of prompts included. */
export const wholeRate = (answers: ReadonlyArray<TimedAnswer>): number => {
  const times = answers.flatMap(({ tokenAtMs }) => tokenAtMs)
  const startedAtMs = Math.min(...answers.map((answer) => answer.startedAtMs))
  return (times.length * 1000) / (Math.max(...times) - startedAtMs)
}

/** Tokens a second between the moment when every answer has its first token and the one when the first answer ends. */
export const writingRate = (answers: ReadonlyArray<TimedAnswer>): number => {
  const fromMs = Math.max(...answers.map(({ tokenAtMs }) => tokenAtMs[0] ?? 0))
  const toMs = Math.min(...answers.map(({ tokenAtMs }) => tokenAtMs.at(-1) ?? 0))
  const times = answers.flatMap(({ tokenAtMs }) => tokenAtMs.filter((atMs) => atMs > fromMs && atMs <= toMs))
  return (times.length * 1000) / (toMs - fromMs)
}

export const firstTokenMs = ({ startedAtMs, tokenAtMs }: TimedAnswer): number =>
  (tokenAtMs[0] ?? Number.NaN) - startedAtMs

/** What both sides of a comparison of throughput say. */
export const ratesOf = (answers: ReadonlyArray<TimedAnswer>): Measurements => ({
  "tokens/s": wholeRate(answers),
  "writing tokens/s": writingRate(answers),
})
