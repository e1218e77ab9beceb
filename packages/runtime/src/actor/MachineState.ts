/**
 * The boundary between a user's machine and the log: what is kept of it between messages.
 */
import { Schema } from "effect"

const Status = Schema.Literals(["active", "done", "error", "stopped"])

/** What is kept of a machine between messages; `context` is the schema of the root's context. */
export const MachineState = <C extends Schema.Codec<unknown, unknown>>(context: C) =>
  Schema.Struct({
    root: Schema.Struct({
      status: Status,
      value: Schema.Json,
      context,
      historyValue: Schema.Json,
      output: Schema.optionalKey(Schema.Json),
      error: Schema.optionalKey(Schema.Json),
    }),
    /** By path: the ids from the root down, each preceded by a slash. `run` numbers the starts of what is no machine. */
    children: Schema.Record(
      Schema.String,
      Schema.Struct({ src: Schema.String, snapshot: Schema.Json, run: Schema.optionalKey(Schema.Int) }),
    ),
    /**
     * The timers that have not fired: by number, the source and id. A timer's message counts only while its number stands
     * here. Remembering the cancelled ones instead would need a list that nothing ever shortens. As with a running
     * XState, two timers of one id both fire; but cancelling the id cancels both, where XState loses sight of the first.
     */
    timers: Schema.Record(Schema.String, Schema.String),
    /** The number of the next timer or run. */
    next: Schema.Int,
  })
export type StoredMachine = ReturnType<typeof MachineState<Schema.Codec<unknown, unknown>>>["Type"]
