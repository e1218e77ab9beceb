/** The boundary between the command line and the demo: its flags, checked, and the messages to play, read and checked. */
import { mulberry32 } from "@pontoon/runtime/testing"
import { Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import type { CustomerMessage } from "./messages/CustomerMessage.ts"
import { interleave } from "./messages/interleave.ts"
import { readBundledMessages, readMessages } from "./messages/readMessages.ts"

/** Where models run. `auto` takes the first that is there: cuda, webgpu, cpu. */
export const DEVICES = ["cpu", "webgpu", "cuda", "auto"] as const
export type Device = (typeof DEVICES)[number]

/** Seeds are 32-bit: what the samplers and the order of play take. */
const SEED_MAX = 2 ** 31 - 1

export interface DemoOptions {
  /** Exit after the play, with status 1 if a message was lost or doubled. Default: stay for a chat on a terminal. */
  readonly once: boolean
  /** The message log; kept afterwards. Default: a new file in the folder for temporary files. */
  readonly db: string | undefined
  /** Of sampling, of the order of play and of the moments of the faults. Default 1. */
  readonly seed: number
  /** What is played, in the order of play. */
  readonly messages: ReadonlyArray<CustomerMessage>
  readonly device: Device
}

const flags = {
  once: Flag.Boolean("once").pipe(
    Flag.withDescription("Exit after the play, with status 1 if any message was lost or doubled"),
    Flag.withDefault(false),
  ),
  db: Flag.Path("db").pipe(
    Flag.withDescription("Keep the message log in this file (default: a new temporary file)"),
    Flag.withMetavar("FILE"),
    Flag.optional,
  ),
  seed: Flag.Int("seed").pipe(
    Flag.withDescription("Seed of sampling, order of play and faults (default 1)"),
    Flag.withMetavar("N"),
    Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: SEED_MAX }))),
    Flag.withDefault(1),
  ),
  input: Flag.Path("input").pipe(
    Flag.withDescription("Play these messages: one a line, or JSON lines {conversation, text}"),
    Flag.withMetavar("FILE"),
    Flag.optional,
  ),
  device: Flag.Literals("device", DEVICES).pipe(
    Flag.withDescription("Where the models run (default cpu)"),
    Flag.withDefault("cpu"),
  ),
}

/**
 * The `demo` command: reads the flags and the messages, and calls `play`.
 *
 * The bundled messages are mixed by the seed, as if all customers were there at once; a file of the user's is played in
 * its own order.
 */
export const makeDemoCommand = <E, R>(play: (options: DemoOptions) => Effect.Effect<void, E, R>) =>
  Command.make(
    "demo",
    flags,
    Effect.fnUntraced(function* ({ db, device, input, once, seed }) {
      const messages = Option.isSome(input)
        ? yield* readMessages(input.value)
        : interleave(yield* readBundledMessages, mulberry32(seed))
      return yield* play({ once, db: Option.getOrUndefined(db), seed, messages, device })
    }),
  ).pipe(Command.withDescription("Plays a day at the counter, the bank and the exchange on durable model actors"))
