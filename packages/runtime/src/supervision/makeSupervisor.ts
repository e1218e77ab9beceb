/**
 * The boundary to user code: which actors stand and fall together, as their author writes it.
 *
 * ```ts
 * const kitchen = makeSupervisor("kitchen", {
 *   children: [Oven.ref("main"), Cook],
 *   strategy: "rest-for-one",
 * })
 * ActorSystem.layer({ actors: [Oven, Cook], supervisors: [kitchen] })
 * ```
 */
import { type AnyActor, checkAddress } from "../actor/Actor.ts"
import type { Ref } from "../actor/Ref.ts"
import type { AnyTask } from "../actor/Task.ts"
import type { Backoff } from "./restartPolicy.ts"

/** Who is restarted with a child that crashed: nobody, all children, or those declared after it. */
export type Strategy = "one-for-one" | "all-for-one" | "rest-for-one"

/** One actor, every actor of a type that no other supervisor has by name, or a whole group. */
export type SupervisorChild = Ref<AnyTask> | AnyActor | SupervisorGroup

export interface SupervisorOptions {
  /** In the order in which they are started; they are stopped the other way round. At least one. */
  readonly children: ReadonlyArray<SupervisorChild>
  /** Default `one-for-one`. */
  readonly strategy?: Strategy
  /**
   * How many crashes of its children the group takes within `withinMs`. Default 3, so that a group has had enough before one
   * of its actors has (5); 0 takes none. Raising it tries longer before `onExceeded`.
   */
  readonly restartsMax?: number
  /** The window of `restartsMax`, in milliseconds. Default 60,000. */
  readonly withinMs?: number
  /** The wait before more than one child, or a whole group, is restarted. Default 100 ms, doubling up to 10 s, half of it random. */
  readonly backoff?: Partial<Backoff>
  /**
   * What is done when they are too many. `escalate` (default): the group has failed, and its parent restarts it as one of its
   * children; the parent of the outermost is the system, which takes `escalationsMax` a minute and then closes itself.
   * `fail` or `stop`: every actor of the group ends so.
   */
  readonly onExceeded?: "escalate" | "fail" | "stop"
}

/** A supervisor as it was declared. */
export interface SupervisorGroup {
  readonly kind: "supervisor"
  readonly name: string
  readonly options: SupervisorOptions
}

const mistakeIn = ({ children, restartsMax, withinMs }: SupervisorOptions): string | undefined => {
  if (children.length === 0) return "it has no children; give it at least one"
  const pool = children.find((child) => "kind" in child && child.kind === "pool")
  if (pool !== undefined) return "a pool cannot be its child; name the pool's targets"
  if (restartsMax !== undefined && !(Number.isSafeInteger(restartsMax) && restartsMax >= 0)) {
    return `restartsMax must be a whole number, 0 or more, and is ${restartsMax}`
  }
  if (withinMs !== undefined && !(Number.isSafeInteger(withinMs) && withinMs >= 1)) {
    return `withinMs must be a whole number, 1 or more, and is ${withinMs}`
  }
  return undefined
}

/** Declares a group; throws where it could never work. It does nothing until a system is opened with it in `supervisors`. */
export const makeSupervisor = (name: string, options: SupervisorOptions): SupervisorGroup => {
  checkAddress({ type: name, id: "x" })
  const mistake = mistakeIn(options)
  if (mistake !== undefined) throw new Error(`The supervisor ${name} is not declared well: ${mistake}.`)
  return { kind: "supervisor", name, options }
}
