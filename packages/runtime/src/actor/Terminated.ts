/**
 * The boundary to bad news: the task by which a watcher hears that an actor has ended. It goes into the protocol of every
 * actor that watches.
 */
import { Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Address } from "../message/Address.ts"
import { compileTask } from "./Task.ts"

/** What is told of an actor that has ended: who, as what, and why. */
export const Terminated = Rpc.make("Terminated", {
  payload: {
    address: Address,
    /** `failed`: it could not go on. `stopped`: it was to end. */
    state: Schema.Literals(["failed", "stopped"]),
    reason: Schema.String,
  },
})
export type Terminated = typeof Terminated

/** The same, compiled for the log. */
export const terminatedCodec = compileTask(Terminated)
