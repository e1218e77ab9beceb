/**
 * The boundary to names with types: how an actor or a pool is spoken of by those who send to it.
 */
import type { AnyTask, TaskCodec } from "./Task.ts"

/** The name of an actor or a pool, with the type of what it understands. */
export interface Ref<out T extends AnyTask> {
  readonly kind: "actor" | "pool"
  /** The actor's type, or the pool's name. */
  readonly type: string
  /** The actor's id; for a pool, empty. */
  readonly id: string
  readonly tasks: ReadonlyMap<string, TaskCodec>
  readonly "~tasks"?: T
}
