/**
 * The boundary between the versions of an actor's state: brings one that an older program stored to the shape that this one
 * reads, a step a version. Pure; what is brought forward is written with the actor's next commit.
 */
import { Effect, Schema } from "effect"

/**
 * Takes the state of one version, as JSON, and gives that of the next, as JSON: what its schema writes, not what it reads.
 * It may run more than once, and must be the same each time; where it throws, the actor is `failed`.
 */
export type StateMigration = (old: unknown) => unknown

/** The migration away from each version, by that version. */
export type StateMigrations = Readonly<Record<number, StateMigration>>

/**
 * A migration that gets the state as a value: decoded by the schema that the state had in that version.
 *
 * ```ts
 * migrations: { 1: Actor.migration(Schema.Struct({ cents: Schema.Int }), ({ cents }) => ({ cents, currency: "EUR" })) }
 * ```
 */
export const migration = <A>(schema: Schema.Codec<A, unknown>, migrate: (old: A) => unknown): StateMigration => {
  const decode = Schema.decodeUnknownSync(Schema.toCodecJson(schema))
  return (old) => migrate(decode(old))
}

/** An older state cannot be brought forward; one sentence, without the actor's name. */
export class UnmigratedState {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

const oneLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).replaceAll(/\s*\n\s*/g, " ")

/**
 * Brings `text`, a state of version `from`, to version `to`.
 *
 * @fails UnmigratedState where a migration is missing, throws, or gives what is no JSON
 */
export const migrateState = (
  migrations: StateMigrations,
  text: string,
  from: number,
  to: number,
): Effect.Effect<string, UnmigratedState> =>
  Effect.suspend(() => {
    let state = text
    for (let version = from; version < to; version++) {
      const step = `from version ${version} to ${version + 1}`
      const migrate = migrations[version]
      if (migrate === undefined) {
        return Effect.fail(new UnmigratedState(`has version ${from}, and there is no migration ${step}`))
      }
      try {
        const next = JSON.stringify(migrate(JSON.parse(state)))
        if (next === undefined) throw new Error("it gave nothing that is JSON")
        state = next
      } catch (error) {
        return Effect.fail(
          new UnmigratedState(`has version ${from}, and its migration ${step} failed: ${oneLine(error)}`),
        )
      }
    }
    return Effect.succeed(state)
  })
