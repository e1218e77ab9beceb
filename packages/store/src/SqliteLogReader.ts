/**
 * The boundary to everybody who only looks at a file: `LogReader` on a connection of its own, read-only, that takes no
 * lock an owner could feel.
 */
import { LogReader, type TerminalStoreFailure } from "@pontoon/runtime"
import { Effect, Layer, type Scope } from "effect"
import { logReaderOf } from "./logReaderOf.ts"
import { openReader } from "./openReader.ts"

/**
 * Reads `file`, whose owner may be alive or dead. Any number of readers may.
 *
 * @fails TerminalStoreFailure `missing`, `corrupt`, `newer`, `read-only` or `other`
 */
const make = (file: string): Effect.Effect<LogReader["Service"], TerminalStoreFailure, Scope.Scope> =>
  Effect.map(openReader(file), logReaderOf)

const layer = (file: string): Layer.Layer<LogReader, TerminalStoreFailure> => Layer.effect(LogReader, make(file))

export const SqliteLogReader = { make, layer }
