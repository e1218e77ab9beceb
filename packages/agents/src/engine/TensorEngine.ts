/**
 * The boundary to one ONNX file of any kind: it becomes a `TensorTarget`, run by onnxruntime in a process of its own.
 */
import { basename } from "node:path"
import { Effect, Layer, type Scope } from "effect"
import { modelFailure } from "../inference/folder/modelFolder.ts"
import { checkRequest } from "../inference/tensors/checkTensors.ts"
import { RetryableModelBusy, type RetryableModelCrash, type TerminalModelFailure } from "../ModelTarget.ts"
import { TensorTarget } from "../TensorTarget.ts"
import { bytesOf, type NamedTensors, type TensorSpec } from "../TensorValue.ts"
import { type EngineHandle, makeHandle } from "./EngineHandle.ts"
import { DEFAULTS, type EngineOptions } from "./EngineOptions.ts"
import { admit, awaitAnswer, type Gate } from "./Gate.ts"
import type { Run } from "./protocol.ts"
import { describe, startEngine } from "./startEngine.ts"

export interface TensorOptions extends Omit<EngineOptions, "folder"> {
  /** The ONNX file. Data beside it, where it has any, is found by the names that it holds. */
  readonly file: string
  /**
   * Rows that requests may share a run up to. Default 1, 1 to 4096: a request a run. More joins waiting requests along the
   * first axis of their inputs, where the graph leaves that open for all inputs (scalars apart, which have to be equal)
   * and outputs; a row is then rounded as its batch is, so its last digits depend on its company.
   */
  readonly batchMax?: number
  /**
   * Bytes of a request's tensors, and of its answer's. Default 64 MiB, from 1. Tensors are copied to the model's process on
   * the event loop of this one, at some 1 to 2 ms a megabyte: raising it lets one request hold it for longer.
   */
  readonly bytesMax?: number
  /**
   * Bytes of the tensors of all requests that run or wait. Default 256 MiB, from `bytesMax`; one more fails with
   * `RetryableModelBusy`. They are copied into the model's process as they are made: raising it costs memory there.
   */
  readonly queueBytesMax?: number
  /** Lets NaN in and out. Default false: one in an actor's state would stay there for ever. */
  readonly nanAllowed?: boolean
}

export type TensorHandle = EngineHandle<TensorTarget["Service"]>

/** An image of 2,000 by 2,000 pixels in three channels of 32-bit floats has 48 MB. */
const BYTES_MAX = 64 * 1024 * 1024

/** Four requests of the largest size: enough to keep a model busy. */
const QUEUE_REQUESTS = 4

interface TensorGate extends Gate {
  readonly takes: ReadonlyArray<TensorSpec>
  readonly gives: ReadonlyArray<TensorSpec>
  readonly bytesMax: number
  readonly queueBytesMax: number
  /** Of the inputs of requests that were sent and not answered. */
  openBytes: number
}

/** What is wrong with a request, as a sentence. */
const findWrong = (inputs: NamedTensors, outputs: ReadonlyArray<string> | undefined, gate: TensorGate) => {
  const wrong = checkRequest(inputs, outputs, gate.takes, gate.gives)
  if (wrong !== undefined) return `${wrong}.`
  const bytes = sizeOf(inputs)
  return bytes > gate.bytesMax
    ? `the inputs have ${bytes} bytes, and bytesMax is ${gate.bytesMax}; send less, or raise it.`
    : undefined
}

const sizeOf = (inputs: NamedTensors): number => Object.values(inputs).reduce((sum, value) => sum + bytesOf(value), 0)

/** Takes room in the model's memory while the scope is open. */
const reserve = (gate: TensorGate, bytes: number) =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const { name, openBytes, queueBytesMax } = gate
      if (openBytes + bytes > queueBytesMax) {
        const message =
          `Model "${name}": the tensors of its open requests have ${openBytes} bytes, these ${bytes}, and queueBytesMax is ` +
          `${queueBytesMax}; try again later, or raise it.`
        return Effect.fail(new RetryableModelBusy({ model: name, message }))
      }
      gate.openBytes += bytes
      return Effect.void
    }),
    () =>
      Effect.sync(() => {
        gate.openBytes -= bytes
      }),
  )

const runWith =
  (gate: TensorGate): TensorTarget["Service"]["run"] =>
  (inputs, outputs) =>
    Effect.gen(function* () {
      yield* admit(gate)
      const wrong = findWrong(inputs, outputs, gate)
      if (wrong !== undefined) return yield* modelFailure(gate.name)("request", wrong)
      yield* reserve(gate, sizeOf(inputs))
      const id = gate.process.nextId()
      const message: Run = { _tag: "Run", id, inputs, ...(outputs === undefined ? {} : { outputs }) }
      return yield* awaitAnswer(gate.process, message, (reply) => (reply._tag === "Ran" ? reply.outputs : undefined))
    }).pipe(Effect.scoped)

/**
 * Opens an ONNX file; its process is stopped when the scope closes.
 *
 * Fails with `TerminalModelFailure` (the file is missing or damaged, takes what is no tensor, cannot be batched though
 * `batchMax` asks for it, or no provider can run it) or `RetryableModelCrash` (the process died while it loaded, or took
 * too long).
 */
const open = (
  options: TensorOptions,
): Effect.Effect<TensorHandle, TerminalModelFailure | RetryableModelCrash, Scope.Scope> =>
  Effect.gen(function* () {
    const { batchMax = 1, bytesMax = BYTES_MAX, file, nanAllowed = false, name = basename(file), ...rest } = options
    const tensors = { batchMax, bytesMax, nanAllowed }
    const started = yield* startEngine("tensors", { ...rest, name, folder: file }, { tensors })
    const { loaded, process } = started
    const { inputs: takes = [], outputs: gives = [] } = loaded
    const queueBytesMax = Math.max(bytesMax, options.queueBytesMax ?? QUEUE_REQUESTS * BYTES_MAX)
    const queueMax = options.queueMax ?? DEFAULTS.queueMax
    const described = describe(name, batchMax, started)
    const target = TensorTarget.of({
      describe: {
        ...described,
        capabilities: { seed: false, stop: false, resume: false, tokenIds: false },
        inputs: takes,
        outputs: gives,
      },
      run: runWith({ process, name, slots: batchMax, queueMax, takes, gives, bytesMax, queueBytesMax, openBytes: 0 }),
      died: process.died,
    })
    return makeHandle(process, target)
  })

export const TensorEngine = {
  open,
  /** `open` as a layer. */
  layer: (options: TensorOptions): Layer.Layer<TensorTarget, TerminalModelFailure | RetryableModelCrash> =>
    Layer.effect(
      TensorTarget,
      Effect.map(open(options), ({ target }) => target),
    ),
} as const
