/**
 * The order of the evening: half of the messages, three accidents, the other half, and then the reckoning from the log.
 */
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Clock, Effect, Schema } from "effect"
import type { CustomerMessage } from "../messages/CustomerMessage.ts"
import type { DemoOptions } from "../options.ts"
import { formatSummary } from "../terminal/formatSummary.ts"
import { audit } from "./audit.ts"
import { chat } from "./chat.ts"
import { killModel } from "./killModel.ts"
import { IN_FLIGHT_MAX, killProgram } from "./killProgram.ts"
import { makeScreen } from "./makeScreen.ts"
import { playMessages } from "./playMessages.ts"
import { type LedgerEntry, makeStage } from "./Stage.ts"
import { slowReplica } from "./slowReplica.ts"

/** The play did not come out as it must: a message was lost or doubled, or a fault was not survived. */
export class TerminalPlayFailed extends Schema.TaggedError<TerminalPlayFailed>()("TerminalPlayFailed", {
  message: Schema.String,
}) {}

/** The first `count` conversations of a single message each, and the rest in their order. */
const takeSingles = (messages: ReadonlyArray<CustomerMessage>, count: number) => {
  const turns = Map.groupBy(messages, ({ conversation }) => conversation)
  const singles = [...turns.values()].flatMap((same) => (same.length === 1 ? same : [])).slice(0, count)
  const taken = new Set(singles)
  return { singles, rest: messages.filter((message) => !taken.has(message)) }
}

/** Splits where a conversation is not torn apart. */
const halve = (messages: ReadonlyArray<CustomerMessage>) => {
  const names = [...new Set(messages.map(({ conversation }) => conversation))]
  const first = new Set(names.slice(0, Math.ceil(names.length / 2)))
  return {
    first: messages.filter(({ conversation }) => first.has(conversation)),
    second: messages.filter(({ conversation }) => !first.has(conversation)),
  }
}

const temporaryDb = () => join(mkdtempSync(join(tmpdir(), "pontoon-demo-")), "pontoon.db")

/** The `demo` command's work. */
export const play = Effect.fnUntraced(function* ({ db = temporaryDb(), device, messages, once, seed }: DemoOptions) {
  const clock = yield* Clock.Clock
  const screen = makeScreen(process.stdout, process.env)
  screen.write(`The message log is ${db}. Starting six models, each in a process of its own.\n`)
  const run = clock.currentTimeMillisUnsafe().toString(36)
  const stage = yield* makeStage({ db, device, seed }, run, (event) => Effect.sync(() => screen.show(event)))
  const { rest, singles } = takeSingles(messages, IN_FLIGHT_MAX)
  const { first, second } = halve(rest)
  const isPlayed = ({ outcome, played }: LedgerEntry) => played && outcome !== undefined
  screen.expect(messages.length, () => [...stage.ledger.values()].filter(isPlayed).length)
  yield* playMessages(stage, first)
  const equal = yield* killModel(stage)
  const moved = yield* slowReplica(stage)
  const finished = yield* killProgram(stage, singles)
  yield* playMessages(stage, second)
  screen.end()
  const summary = yield* audit(db, stage.ledger)
  screen.write(`\n${formatSummary(summary)}`)
  const troubles = [
    ...(equal ? [] : ["the answer that was cut off is not the one that was not"]),
    ...(moved ? [] : ["traffic did not move away from the slow replica"]),
    ...(finished ? [] : ["a message in flight was not answered"]),
    ...(summary.lost === 0 ? [] : [`${summary.lost} messages are lost`]),
    ...(summary.doubled === 0 ? [] : [`${summary.doubled} messages are doubled`]),
  ]
  if (troubles.length > 0) return yield* new TerminalPlayFailed({ message: `The play failed: ${troubles.join("; ")}.` })
  if (!once && process.stdin.isTTY) yield* chat(stage)
}, Effect.scoped)
