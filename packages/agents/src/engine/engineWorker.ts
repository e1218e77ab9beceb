/**
 * The entry of a model's process: one model, loaded when the host says which, until the host is gone.
 *
 * It ends by itself when the IPC channel closes, which the kernel does however the host died. It writes nothing to
 * stdout; stderr is for what kills it. An exception inside onnxruntime ends the process: after it the state of the
 * session is unknown, and whether to start again is the supervisor's decision, not ours.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { Effect, Result } from "effect"
import { type LoadedEngine, loadDecoder, type WorkerContext } from "../inference/decoding/loadDecoder.ts"
import { loadEncoder } from "../inference/encoding/loadEncoder.ts"
import {
  type ChildMessage,
  decodeHostMessage,
  type EngineSettings,
  encodeChildMessage,
  type HostMessage,
} from "./protocol.ts"

// The binding of onnxruntime-node 1.30 takes a Float16Array for empty on Node 24 and later, and its Tensor makes one of every
// 16-bit tensor where the type exists (microsoft/onnxruntime#32323). Without it, it works with the bits.
Reflect.deleteProperty(globalThis, "Float16Array")

const tell = (message: ChildMessage): void => {
  // A host that has gone away closes the channel before the event tells us.
  if (process.connected) process.send?.(encodeChildMessage(message))
}

const world: WorkerContext = {
  tell,
  now: () => Date.now(),
  clockMs: () => performance.now(),
  pause: async (delayMs, signal) => {
    // An aborted sleep rejects; for us it has just ended.
    await sleep(delayMs, undefined, signal === undefined ? {} : { signal }).catch(() => {})
  },
}

let engine: LoadedEngine | undefined

const load = async (settings: EngineSettings): Promise<void> => {
  const loading = settings.kind === "decoder" ? loadDecoder(settings, world) : loadEncoder(settings, world)
  const made = await Effect.runPromise(Effect.result(loading))
  if (Result.isFailure(made)) {
    tell({ _tag: "Refused", failure: made.failure })
  } else {
    engine = made.success
    tell(made.success.loaded)
  }
}

const tellCounters = (id: number, loaded: LoadedEngine): void => {
  const { running, waiting, ...counted } = loaded.counters()
  const residentBytes = process.memoryUsage.rss()
  const counters = { ...counted, runningRequests: running, waitingRequests: waiting, residentBytes }
  tell({ _tag: "Counters", id, counters })
}

const receive = (message: HostMessage): void => {
  switch (message._tag) {
    case "Load":
      void load(message.settings)
      break
    case "Stop":
      process.exit(0)
      break
    // The host sends none of these before it was told `Loaded`.
    case "Generate":
      engine?.generate?.(message)
      break
    case "Encode":
      engine?.encode?.(message)
      break
    case "Cancel":
      engine?.cancel(message.id)
      break
    case "SetStepDelay":
      engine?.setStepDelayMs(message.delayMs)
      break
    case "AskCounters":
      if (engine !== undefined) tellCounters(message.id, engine)
      break
  }
}

process.on("disconnect", () => process.exit(0))
process.on("message", (raw) => {
  const message = decodeHostMessage(raw)
  if (Result.isFailure(message)) throw new Error(`the host sent what is no message: ${message.failure}`)
  receive(message.success)
})
