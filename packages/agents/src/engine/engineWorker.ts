/**
 * The entry of an engine's process or thread: models that the host says, each on its own, until the host is gone.
 *
 * It ends by itself when the channel closes, which the kernel does however the host died. It writes nothing to stdout;
 * stderr is for what kills it. An exception inside onnxruntime ends it: after it the state of the session is unknown, and
 * whether to start again is the supervisor's decision, not ours. Steps of several models take turns on its one thread.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { parentPort } from "node:worker_threads"
import { Effect, Result } from "effect"
import { type LoadedEngine, loadDecoder, type WorkerContext } from "../inference/decoding/loadDecoder.ts"
import { loadEncoder } from "../inference/encoding/loadEncoder.ts"
import { loadTensors } from "../inference/tensors/loadTensors.ts"
import {
  type ChildMessage,
  decodeHostFrame,
  type EngineSettings,
  encodeChildFrame,
  type HostMessage,
} from "./protocol.ts"
import { sufferFault } from "./sufferFault.ts"

// The binding of onnxruntime-node 1.30 takes a Float16Array for empty on Node 24 and later, and its Tensor makes one of every
// 16-bit tensor where the type exists (microsoft/onnxruntime#32323). Without it, it works with the bits.
Reflect.deleteProperty(globalThis, "Float16Array")

const tell = (model: number, message: ChildMessage): void => {
  const frame = encodeChildFrame({ model, message })
  if (parentPort !== null) parentPort.postMessage(frame)
  // A host that has gone away closes the channel before the event tells us.
  else if (process.connected) process.send?.(frame)
}

const makeWorld = (model: number): WorkerContext => ({
  tell: (message) => tell(model, message),
  now: () => Date.now(),
  clockMs: () => performance.now(),
  pause: async (delayMs, signal) => {
    // An aborted sleep rejects; for us it has just ended.
    await sleep(delayMs, undefined, signal === undefined ? {} : { signal }).catch(() => {})
  },
})

const LOADERS = { decoder: loadDecoder, encoder: loadEncoder, tensors: loadTensors } as const

const engines = new Map<number, LoadedEngine>()
/** Models that are being loaded, and were not unloaded meanwhile. */
const loading = new Set<number>()

const load = async (model: number, settings: EngineSettings): Promise<void> => {
  loading.add(model)
  const made = await Effect.runPromise(Effect.result(LOADERS[settings.kind](settings, makeWorld(model))))
  if (!loading.delete(model)) return
  if (Result.isFailure(made)) return tell(model, { _tag: "Refused", failure: made.failure })
  engines.set(model, made.success)
  tell(model, made.success.loaded)
}

const tellCounters = (model: number, id: number, loaded: LoadedEngine): void => {
  const { running, waiting, ...counted } = loaded.counters()
  const residentBytes = process.memoryUsage.rss()
  const counters = { ...counted, runningRequests: running, waitingRequests: waiting, residentBytes }
  tell(model, { _tag: "Counters", id, counters })
}

const receive = (model: number, message: HostMessage): void => {
  const engine = engines.get(model)
  switch (message._tag) {
    case "Load":
      void load(model, message.settings)
      break
    case "Unload":
      loading.delete(model)
      engines.delete(model)
      break
    case "Stop":
      // In a thread this ends the thread.
      process.exit(0)
      break
    case "SufferFault":
      sufferFault(message.fault)
      break
    // The host sends none of these before it was told `Loaded`.
    case "Generate":
      engine?.generate?.(message)
      break
    case "Encode":
      engine?.encode?.(message)
      break
    case "Run":
      engine?.run?.(message)
      break
    case "Cancel":
      engine?.cancel(message.id)
      break
    case "SetStepDelay":
      engine?.setStepDelayMs(message.delayMs)
      break
    case "AskCounters":
      if (engine !== undefined) tellCounters(model, message.id, engine)
      break
  }
}

const receiveFrame = (raw: unknown): void => {
  const frame = decodeHostFrame(raw)
  if (Result.isFailure(frame)) throw new Error(`the host sent what is no message: ${frame.failure}`)
  receive(frame.success.model, frame.success.message)
}

if (parentPort === null) {
  process.on("disconnect", () => process.exit(0))
  process.on("message", receiveFrame)
} else {
  parentPort.on("message", receiveFrame)
}
