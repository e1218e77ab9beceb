/** The boundary between an evaluation's rows and the durable actors that they are sent through. */
import { fileURLToPath } from "node:url"
import { ClassifierActor } from "@pontoon/agents"
import { ActorSystem } from "@pontoon/runtime"
import { SqliteStore } from "@pontoon/store"
import { Context, Effect, FileSystem, Layer, Stream } from "effect"
import type { EvaluationTaskName } from "./EvaluationTask.ts"
import type { ClassifyRequest, EvaluationRow, RowVerdict } from "./evaluate.ts"

/**
 * Texts that are classified at once: four of the engine's batches, so that one is always ready while another runs, and
 * well below the queue (64) past which the engine refuses.
 */
const SLOTS = 32
/**
 * Asks that wait for their answers at once. Twice what the model actor runs, so that its next messages are on disk when
 * it is free; far below what its mailbox holds.
 */
export const IN_FLIGHT_MAX = 64

/** Sends every row through `ask`, at most `IN_FLIGHT_MAX` at once; verdicts come as they are ready. */
export const askRows = <E, R>(
  rows: ReadonlyArray<EvaluationRow>,
  ask: (row: EvaluationRow) => Effect.Effect<string, E, R>,
): Stream.Stream<RowVerdict, E, R> =>
  Stream.fromIterable(rows).pipe(
    Stream.mapEffect((row) => Effect.map(ask(row), (label) => ({ key: row.key, label })), {
      concurrency: IN_FLIGHT_MAX,
      unordered: true,
    }),
  )

const modelFolder = (name: string) => fileURLToPath(new URL(`../../models/${name}`, import.meta.url))

/** A log that lasts as long as the evaluation, where nobody asked to keep one. */
const temporaryLog = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  return `${yield* fs.makeTempDirectoryScoped({ prefix: "pontoon-eval-" })}/eval.db`
})

const openSystem = Effect.fnUntraced(function* (task: EvaluationTaskName, db: string | undefined) {
  const file = db ?? (yield* temporaryLog)
  const classifier = ClassifierActor.make(task, { folder: modelFolder(task), slots: SLOTS })
  const layer = ActorSystem.layer({ actors: [classifier] }).pipe(Layer.provide(SqliteStore.layer(file)))
  return { classifier, system: Context.get(yield* Layer.build(layer), ActorSystem) }
})

/** Opens a system of one classifier over the log, and asks it for every row under the row's key. */
export const classifyThroughActors = ({ db, rows, task }: ClassifyRequest) =>
  Stream.unwrap(
    Effect.map(openSystem(task, db), ({ classifier, system }) =>
      askRows(rows, ({ key, text }) =>
        Effect.map(
          system.ask(classifier.ref("eval"), "Classify", { text }, { idempotencyKey: key }),
          ({ label }) => label,
        ),
      ),
    ),
  )
