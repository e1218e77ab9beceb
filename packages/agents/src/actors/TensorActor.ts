/**
 * The boundary between a mailbox and an ONNX file of any kind: messages and replies have schemas of the user's, and two
 * pure functions say how one becomes tensors and how tensors become the other.
 *
 * ```ts
 * const vad = TensorActor.make("vad", {
 *   file: "silero_vad_v5.onnx",
 *   message: Schema.Struct({ samples: Float32Elements }),
 *   reply: Schema.Struct({ speech: Schema.Number }),
 *   state: Schema.Struct({ memory: Float32Elements }),
 *   initialState: { memory: new Float32Array(256) },
 *   encode: ({ samples }, { memory }) => ({ … }),
 *   decode: ({ output, stateN }) => ({ reply: { speech: … }, state: { memory: … } }),
 * })
 * ```
 */
import { Actor, type Task } from "@pontoon/runtime"
import { Effect, Result, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { TensorEngine, type TensorHandle, type TensorOptions } from "../engine/TensorEngine.ts"
import { modelFailure, oneLine } from "../inference/folder/modelFolder.ts"
import type { TensorTarget } from "../TensorTarget.ts"
import { NamedTensors } from "../TensorValue.ts"
import { type ReplicaTerms, replicaTerms } from "./replicaTerms.ts"

type Plain = Schema.Codec<unknown, unknown>
type RunTask<M extends Plain, A extends Plain> = ReturnType<typeof runTask<M, A>>
/** `A["Type"]`, in the words of the runtime: the compiler does not see through them while `A` is open. */
type Reply<M extends Plain, A extends Plain> = Task.Whole<Rpc.ExtractTag<RunTask<M, A>, "Run">>

export interface TensorActorTerms extends Omit<TensorOptions, "name">, ReplicaTerms<TensorHandle> {
  /**
   * Messages run at once. Default `batchMax`; with a state always 1, because each run needs what the last one left. More
   * than `batchMax` has the next messages' tensors made while the model runs.
   */
  readonly slots?: number
}

export interface TensorActorOptions<M extends Plain, A extends Plain> extends TensorActorTerms {
  readonly message: M
  readonly reply: A
  /** The graph's inputs for a message. Pure: a message that is tried again must come to the same. What it throws ends the message. */
  readonly encode: (message: M["Type"]) => NamedTensors
  /** The reply to a message, of the graph's outputs. Pure, as `encode` is. */
  readonly decode: (outputs: NamedTensors, message: M["Type"]) => Reply<M, A>
  /** The outputs to compute. Default all. */
  readonly outputs?: ReadonlyArray<string>
}

export interface StatefulTensorActorOptions<M extends Plain, A extends Plain, S extends Plain>
  extends TensorActorTerms {
  readonly message: M
  readonly reply: A
  /** What an actor keeps from one message to the next, committed with the reply: over restarts and crashes. */
  readonly state: S
  /** The state of an actor that was never used, or `Reset`. */
  readonly initialState: S["Type"]
  readonly encode: (message: M["Type"], state: S["Type"]) => NamedTensors
  readonly decode: (
    outputs: NamedTensors,
    message: M["Type"],
    state: S["Type"],
  ) => { readonly reply: Reply<M, A>; readonly state: S["Type"] }
  readonly outputs?: ReadonlyArray<string>
}

interface Held {
  readonly target: TensorTarget["Service"]
}

const runTask = <M extends Plain, A extends Plain>(message: M, reply: A) =>
  Rpc.make("Run", { payload: message, success: reply })

/** Runs a function of the user's; what it throws can only be thrown again, so the message ends with it. */
const attempt = <A>(model: string, name: "encode" | "decode", run: () => A) =>
  Effect.fromResult(
    Result.try({
      try: run,
      catch: (cause) => modelFailure(model)("request", `\`${name}\` failed on this message: ${oneLine(cause)}.`, cause),
    }),
  )

/** A kind of model actor over an ONNX file; each id is a replica with a process of its own. */
export const make = <M extends Plain, A extends Plain>(name: string, options: TensorActorOptions<M, A>) => {
  const { decode, encode, message, outputs, reply, ...terms } = options
  const task = runTask(message, reply)
  return Actor.make<typeof task, typeof Schema.Null, Held, never>(name, {
    ...replicaTerms(name, terms, terms.slots ?? terms.batchMax ?? 1, TensorEngine.open),
    protocol: [task],
    handlers: {
      Run: (payload, actor) =>
        Effect.gen(function* () {
          const { describe, run } = actor.resource.target
          const inputs = yield* attempt(describe.name, "encode", () => encode(payload))
          const given = yield* run(inputs, outputs)
          return yield* attempt(describe.name, "decode", () => decode(given, payload))
        }),
    },
  })
}

export const Reset = Rpc.make("Reset", { success: Schema.Void })

/**
 * A kind of model actor whose graph hands a state on from run to run; each id is one such sequence, with a process of its
 * own. Its messages run one at a time, in order, and `Reset` begins the next sequence.
 */
export const stateful = <M extends Plain, A extends Plain, S extends Plain>(
  name: string,
  options: StatefulTensorActorOptions<M, A, S>,
) => {
  const { decode, encode, initialState, message, outputs, reply, state, ...terms } = options
  const task = runTask(message, reply)
  return Actor.make<typeof task | typeof Reset, S, Held, never>(name, {
    ...replicaTerms(name, terms, 1, TensorEngine.open),
    protocol: [task, Reset],
    state,
    initialState: () => initialState,
    mailbox: { strict: true },
    handlers: {
      Run: (payload, actor) =>
        Effect.gen(function* () {
          const { describe, run } = actor.resource.target
          const inputs = yield* attempt(describe.name, "encode", () => encode(payload, actor.state))
          const given = yield* run(inputs, outputs)
          const next = yield* attempt(describe.name, "decode", () => decode(given, payload, actor.state))
          actor.setState(next.state)
          return next.reply
        }),
      Reset: (_, actor) => Effect.sync(() => actor.setState(initialState)),
    },
  })
}

/** Plain tensors in and out: what is asked and answered is in the log as base64. */
export const plain = (name: string, options: TensorActorTerms) =>
  make(name, {
    ...options,
    message: NamedTensors,
    reply: NamedTensors,
    encode: (inputs) => inputs,
    decode: (outputs) => outputs,
  })
