/**
 * The boundary between requests of named tensors and runs of a graph: one after the other, or, where the user said so,
 * those that fit together as one batch along the first axis.
 */
import { Result, Schema } from "effect"
import { type InferenceSession, Tensor } from "onnxruntime-node"
import { type ChildMessage, HEARTBEAT_MS, type Run } from "../../engine/protocol.ts"
import { TerminalModelFailure } from "../../ModelTarget.ts"
import { bytesOf, NamedTensors } from "../../TensorValue.ts"
import { oneLine } from "../folder/modelFolder.ts"
import { type Pause, StepDelay } from "../scheduling/StepDelay.ts"
import { checkNumbers } from "./checkTensors.ts"
import { batchKey, cutTensors, joinTensors, rowsOf } from "./joinTensors.ts"

export interface TensorBatcherOptions {
  readonly model: string
  readonly session: InferenceSession
  /** Rows of one run at most; 1 is one request a run. */
  readonly batchMax: number
  /** Bytes of an answer's tensors at most. */
  readonly bytesMax: number
  readonly nanAllowed: boolean
  readonly tell: (message: ChildMessage) => void
  readonly now: () => number
  readonly pause: Pause
}

const decodeTensors = Schema.decodeUnknownResult(NamedTensors)

/** As onnxruntime takes them. */
const feedsOf = (inputs: NamedTensors): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(inputs).map(([name, { data, dims, type }]) => [name, new Tensor(type, data, dims)]))

/** As they travel; a clause where an output is none that can. */
const readOutputs = (outputs: InferenceSession.OnnxValueMapType): Result.Result<NamedTensors, string> => {
  const read = Object.entries(outputs).map(([name, { data, dims, type }]) => [name, { data, dims, type }])
  return Result.mapError(
    decodeTensors(Object.fromEntries(read)),
    (error) => `an output cannot be given: ${oneLine(error)}`,
  )
}

export class TensorBatcher {
  readonly delay: StepDelay
  readonly #options: TensorBatcherOptions
  #waiting: Array<Run> = []
  #running: ReadonlyArray<Run> = []
  readonly #cancelled = new Set<number>()
  #steps = 0
  #active = false
  #beatAtMs = 0

  constructor(options: TensorBatcherOptions) {
    this.#options = options
    this.delay = new StepDelay(options.pause)
  }

  submit(request: Run): void {
    const wrong = this.#options.nanAllowed ? undefined : checkNumbers(request.inputs, "input")
    if (wrong !== undefined) {
      this.#fail([request], "request", `${wrong}; a graph makes nothing but more of it (nanAllowed lets it through).`)
      return
    }
    this.#waiting.push(request)
    void this.#run()
  }

  cancel(id: number): void {
    this.#waiting = this.#waiting.filter((request) => request.id !== id)
    if (this.#running.some((request) => request.id === id)) this.#cancelled.add(id)
  }

  counters(): { readonly steps: number; readonly running: number; readonly waiting: number } {
    return { steps: this.#steps, running: this.#running.length, waiting: this.#waiting.length }
  }

  async #run(): Promise<void> {
    if (this.#active) return
    this.#active = true
    // Calls that arrived in the same turn of the event loop share a batch.
    await this.#options.pause(0)
    while (this.#waiting.length > 0) {
      this.#beat()
      await this.delay.wait()
      await this.#takeStep()
    }
    this.#active = false
  }

  /** The oldest request, and those behind it that fit into its batch. */
  #takeBatch(): ReadonlyArray<Run> {
    const { batchMax } = this.#options
    const [first] = this.#waiting
    if (first === undefined) return []
    let rows = rowsOf(first.inputs)
    if (rows === undefined || rows >= batchMax) return [first]
    const key = batchKey(first.inputs, first.outputs)
    const batch = [first]
    for (const request of this.#waiting.slice(1)) {
      const more = rowsOf(request.inputs)
      if (more === undefined || rows + more > batchMax || batchKey(request.inputs, request.outputs) !== key) continue
      rows += more
      batch.push(request)
    }
    return batch
  }

  async #takeStep(): Promise<void> {
    const batch = this.#takeBatch()
    if (batch.length === 0) return
    this.#waiting = this.#waiting.filter((request) => !batch.includes(request))
    this.#running = batch
    const outputs = await this.#call(batch)
    this.#running = []
    if (Result.isFailure(outputs)) this.#fail(batch, "request", outputs.failure)
    else for (const [at, request] of batch.entries()) this.#settle(request, outputs.success[at] ?? {})
    for (const { id } of batch) this.#cancelled.delete(id)
  }

  /**
   * What onnxruntime throws is an answer here, and does not end the process as it does elsewhere: which sizes a graph of
   * an unknown kind takes, its metadata tells in part only, so a throw is most often a user's input. A session can go on
   * after it: the check that failed came before its node computed anything.
   */
  async #call(batch: ReadonlyArray<Run>): Promise<Result.Result<ReadonlyArray<NamedTensors>, string>> {
    const { session } = this.#options
    this.#steps++
    const feeds = feedsOf(joinTensors(batch.map(({ inputs }) => inputs)))
    const wanted = batch[0]?.outputs
    try {
      const given = wanted === undefined ? await session.run(feeds) : await session.run(feeds, [...wanted])
      const rows = batch.map(({ inputs }) => rowsOf(inputs) ?? 0)
      const read = readOutputs(given)
      return Result.flatMap(read, (tensors) => cutTensors(tensors, rows))
    } catch (error) {
      return Result.fail(`onnxruntime cannot run it on these inputs: ${oneLine(error)}.`)
    }
  }

  #settle(request: Run, outputs: NamedTensors): void {
    const { bytesMax, nanAllowed, tell } = this.#options
    if (this.#cancelled.has(request.id)) return
    const bytes = Object.values(outputs).reduce((sum, value) => sum + bytesOf(value), 0)
    if (bytes > bytesMax) {
      const message = `its outputs have ${bytes} bytes, and bytesMax is ${bytesMax}; name fewer in \`outputs\`, or raise it.`
      this.#fail([request], "request", message)
      return
    }
    const wrong = nanAllowed ? undefined : checkNumbers(outputs, "output")
    if (wrong === undefined) tell({ _tag: "Ran", id: request.id, outputs })
    else this.#fail([request], "damaged", `${wrong}: its weights, or inputs far from what it was made for.`)
  }

  #fail(requests: ReadonlyArray<Run>, reason: TerminalModelFailure["reason"], message: string): void {
    const { model, tell } = this.#options
    const failure = new TerminalModelFailure({ model, reason, message: `Model "${model}": ${message}`, cause: null })
    for (const { id } of requests) if (!this.#cancelled.has(id)) tell({ _tag: "Failed", id, failure })
  }

  #beat(): void {
    const atMs = this.#options.now()
    if (atMs - this.#beatAtMs < HEARTBEAT_MS) return
    this.#beatAtMs = atMs
    this.#options.tell({ _tag: "Working" })
  }
}
