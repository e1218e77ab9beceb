/** The boundary between user code in a simulation and everything that it plays on: its tasks, its failures, its world. */
import { Schema } from "effect"
import { Rpc } from "effect/rpc"
import type { ActorSelf } from "../../actor/ActorContext.ts"
import type { Ref } from "../../actor/Ref.ts"
import * as Task from "../../actor/Task.ts"
import type { Plan } from "./Plan.ts"
import type { SimulatedTime } from "./SimulatedTime.ts"
import type { SeededRandom } from "./seededRandom.ts"
import type { Witness } from "./Witness.ts"

export class RetryableTrouble extends Schema.TaggedError<RetryableTrouble>()("RetryableTrouble", {
  message: Schema.String,
}) {}
export class TerminalTrouble extends Schema.TaggedError<TerminalTrouble>()("TerminalTrouble", {
  message: Schema.String,
}) {}
export class Declared extends Schema.TaggedError<Declared>()("Declared", { message: Schema.String }) {}

const payload = { script: Schema.Number }
export const Work = Rpc.make("Work", { payload, success: Schema.String, error: Declared })
export const Talk = Task.stream("Talk", { payload, chunk: Schema.String, whole: Schema.String, error: Declared })

/** What every process of a simulation plays on. */
export interface Stage {
  readonly plan: Plan
  readonly witness: Witness
  readonly time: SimulatedTime
  readonly random: SeededRandom
  /** Targets that cannot be started now. */
  readonly down: Set<string>
  /** Started targets, with what makes each of them crash. */
  readonly started: Map<string, ActorSelf>
  /** Whether everything must now come to its end. */
  isOver: boolean
}

/** Whom a script may name. */
export interface Cast {
  readonly workRef: (to: string) => Ref<typeof Work>
  /** Undefined for one that does not talk. */
  readonly talkRef: (to: string) => Ref<typeof Talk> | undefined
}
