/**
 * The boundary between a file in trouble and those who use it: a system of ledgers, callers that try again as they are told
 * to, what the system says of its trouble, and the judgement of the file afterwards.
 */
import { Actor, ActorSystem, type AskFailure } from "@pontoon/runtime"
import { checkLog, checkReplies, checkSums, readContents } from "@pontoon/runtime/testing"
import { Context, Effect, Exit, Layer, Logger, Schema, Scope } from "effect"
import { Rpc } from "effect/rpc"
import { SqliteLogReader, SqliteStore, type StoreOptions } from "../../src/index.ts"

type System = ActorSystem["Service"]

/** Adds; with a `pad` its message is as large as one likes, with `waits` it waits for the gate, and its reply is large. */
export const makeLedger = (gate: Promise<void> = Promise.resolve()) =>
  Actor.make("ledger", {
    protocol: [
      Rpc.make("Add", {
        payload: { by: Schema.Number, pad: Schema.String, waits: Schema.optionalKey(Schema.Boolean) },
        success: Schema.String,
      }),
    ],
    state: Schema.Number,
    initialState: 0,
    handlers: {
      Add: ({ by, waits }, actor) =>
        Effect.gen(function* () {
          if (waits === true) yield* Effect.promise(() => gate)
          actor.setState(actor.state + by)
          return waits === true ? `${actor.state}${" ".repeat(200_000)}` : `${actor.state}`
        }),
    },
  })

export interface OpenLedgers {
  readonly system: System
  readonly ledger: ReturnType<typeof makeLedger>
  /** What was written to the log output, a line each. */
  readonly said: ReadonlyArray<string>
  readonly close: Effect.Effect<void>
}

export const openLedgers = (file: string, options: StoreOptions = {}, gate?: Promise<void>) =>
  Effect.gen(function* () {
    const ledger = makeLedger(gate)
    const said: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      said.push(`${logLevel} ${Array.isArray(message) ? message.join(" ") : String(message)}`)
    })
    const scope = yield* Scope.fork(yield* Effect.scope)
    const layer = ActorSystem.layer({ actors: [ledger] }).pipe(
      Layer.provide(SqliteStore.layer(file, options)),
      Layer.provide(Logger.layer([logger])),
    )
    const system = Context.get(yield* Layer.buildWithScope(layer, scope), ActorSystem)
    const opened: OpenLedgers = { system, ledger, said, close: Scope.close(scope, Exit.void) }
    return opened
  })

/** A turn of the loop: whoever waits for a file waits for time to pass. */
export const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** What callers were told: an answer is that of an accepted message. */
export class Told {
  /** By idempotency key. */
  readonly answers = new Map<string, string>()
  /** The sentences of those who refused, by reason. */
  readonly refusals = new Map<string, Set<string>>()

  refused({ reason, message }: { readonly reason: string; readonly message: string }): void {
    const sentences = this.refusals.get(reason) ?? new Set()
    this.refusals.set(reason, sentences.add(message))
  }

  /** Sends until it is accepted and answered, again under the same key where it is to be tried again. */
  readonly add = (
    { ledger, system }: OpenLedgers,
    key: string,
    { by = 1, id = "a", pad = 0, waits = false } = {},
  ): Effect.Effect<void, AskFailure> => {
    const payload = { by, pad: "x".repeat(pad), ...(waits ? { waits } : {}) }
    return system.ask(ledger.ref(id), "Add", payload, { idempotencyKey: key }).pipe(
      Effect.tapErrorTag("RetryableStoreFailure", (failure) => Effect.sync(() => this.refused(failure))),
      Effect.tapErrorTag("RetryableStoreFailure", () => turn),
      Effect.retry({ while: ({ _tag }) => _tag === "RetryableStoreFailure" }),
      Effect.tap((reply) => Effect.sync(() => this.answers.set(key, JSON.stringify(reply)))),
      Effect.asVoid,
    )
  }

  /** One sentence for each thing that is wrong with the file. */
  readonly judge = Effect.fnUntraced(function* (this: Told, file: string) {
    const contents = yield* readContents(yield* SqliteLogReader.make(file))
    const ids = new Map(contents.messages.map(({ id, idempotencyKey }) => [idempotencyKey ?? id, id]))
    const replies = new Map([...this.answers].map(([key, reply]) => [ids.get(key) ?? `with the key ${key}`, reply]))
    return [
      ...checkLog(contents, { drained: true, isSerial: () => true }),
      ...checkReplies(contents, replies),
      ...checkSums(contents, "ledger", ({ body }) => JSON.parse(body).by),
    ]
  }, Effect.scoped)
}
