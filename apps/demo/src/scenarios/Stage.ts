/**
 * The boundary between a scenario and those who watch it: customers speak through it, what they hear is shown, and every
 * message that was ever said is kept in a ledger, to be held against the log at the end.
 */
import { Clock, Effect, Ref, type Scope, Stream } from "effect"
import { type Cluster, type ClusterTerms, startCluster, type TerminalClusterUnavailable } from "../cluster/Cluster.ts"
import type { Heard } from "../cluster/FrontDesk.ts"
import type { CustomerMessage } from "../messages/CustomerMessage.ts"
import type { AnswerEvent } from "../terminal/AnswerView.ts"

export interface LedgerEntry {
  readonly key: string
  readonly conversation: string
  readonly text: string
  /** Whether it is one of the messages that are played, and not an act's own. */
  readonly played: boolean
  /** What the customer got; undefined while it waits. */
  outcome: Heard | { readonly failed: string } | undefined
}

/** How a customer's message came out. */
export interface Spoken {
  readonly key: string
  readonly text: string
  /** The models that wrote it, in order. */
  readonly models: ReadonlyArray<string>
  /** Every takeover, e.g. `exact`. */
  readonly resumed: ReadonlyArray<string>
}

export interface Stage {
  readonly terms: ClusterTerms
  /** Distinguishes this run's messages from those of an earlier run on the same file. */
  readonly run: string
  readonly show: (event: AnswerEvent) => Effect.Effect<void>
  readonly note: (text: string) => Effect.Effect<void>
  readonly ledger: Map<string, LedgerEntry>
  readonly cluster: Effect.Effect<Cluster>
  /** Starts the cluster again after it was killed. */
  readonly restart: Effect.Effect<void, TerminalClusterUnavailable, Scope.Scope>
}

export const makeStage = Effect.fnUntraced(function* (terms: ClusterTerms, run: string, show: Stage["show"]) {
  const current = yield* Ref.make(yield* startCluster(terms))
  const stage: Stage = {
    terms,
    run,
    show,
    note: (text) => show({ _tag: "Noted", text }),
    ledger: new Map(),
    cluster: Ref.get(current),
    restart: Effect.flatMap(startCluster(terms), (cluster) => Ref.set(current, cluster)),
  }
  return stage
})

/** A customer says something: writes it into the ledger. */
export const enter = (stage: Stage, { conversation, text }: CustomerMessage, played = true): LedgerEntry => {
  const key = `${stage.run}/${stage.ledger.size}`
  const entry: LedgerEntry = { key, conversation, text, played, outcome: undefined }
  stage.ledger.set(key, entry)
  return entry
}

/** Enough of the run's name to tell the acts' customers from those of an earlier run on the same file. */
const RUN_SHOWN_LENGTH = 4

/** A customer of an act's own says something, in a conversation that no earlier run has had. */
export const enterOwn = (stage: Stage, name: string, text: string): LedgerEntry =>
  enter(stage, { conversation: `${name}.${stage.run.slice(-RUN_SHOWN_LENGTH)}`, text }, false)

/** Sends what is in the ledger, and shows the answer as it comes. Fails only where the cluster is gone. */
export const speak = Effect.fnUntraced(function* (
  stage: Stage,
  entry: LedgerEntry,
  onChunk: (models: ReadonlyArray<string>) => Effect.Effect<void> = () => Effect.void,
) {
  const clock = yield* Clock.Clock
  const cluster = yield* stage.cluster
  const { conversation, key, text } = entry
  const askedAtMs = clock.currentTimeMillisUnsafe()
  const models: Array<string> = []
  const resumed: Array<string> = []
  yield* stage.show({ _tag: "Asked", conversation, text })
  yield* Stream.runForEach(cluster.say({ key, conversation, text }), (answering) => {
    if (answering._tag === "Chunk") {
      const { chunk } = answering
      if (chunk.model !== undefined) models.push(chunk.model)
      if (chunk.resumed !== undefined) resumed.push(chunk.resumed.mode)
      const withdrawn =
        chunk.resumed?.mode === "restart"
          ? stage.show({ _tag: "Retracted", conversation, reason: `${chunk.resumed.to} starts over` })
          : Effect.void
      const shown = chunk.text === "" ? Effect.void : stage.show({ _tag: "Chunk", conversation, text: chunk.text })
      return Effect.andThen(withdrawn, Effect.andThen(shown, onChunk(models)))
    }
    if (answering._tag === "Answered") {
      entry.outcome = answering.heard
      const desk = answering.heard.desks.join("+")
      const elapsedMs = clock.currentTimeMillisUnsafe() - askedAtMs
      return stage.show({ _tag: "Answered", conversation, desk, text: answering.heard.text, elapsedMs })
    }
    entry.outcome = { failed: answering.message }
    return stage.show({ _tag: "Failed", conversation, reason: answering.message })
  }).pipe(Effect.tapError(() => stage.show({ _tag: "CutOff", conversation })))
  const spoken: Spoken = {
    key,
    text: entry.outcome !== undefined && "text" in entry.outcome ? entry.outcome.text : "",
    models,
    resumed,
  }
  return spoken
})
