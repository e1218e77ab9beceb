/**
 * The entry of a model's process: one model, loaded when the host says which, until the host is gone.
 *
 * It ends by itself when the IPC channel closes, which the kernel does however the host died. It writes nothing to
 * stdout; stderr is for what kills it. An exception inside onnxruntime ends the process: after it the state of the
 * session is unknown, and whether to start again is the supervisor's decision, not ours.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { Effect, Result } from "effect"
import { type LoadedEngine, loadDecoder, type WorkerContext } from "./loadDecoder.ts"
import { loadEncoder } from "./loadEncoder.ts"
import {
  type ChildMessage,
  decodeHostMessage,
  type EngineSettings,
  encodeChildMessage,
  type HostMessage,
} from "./protocol.ts"

const tell = (message: ChildMessage): void => {
  // A host that has gone away closes the channel before the event tells us.
  if (process.connected) process.send?.(encodeChildMessage(message))
}

const world: WorkerContext = {
  tell,
  now: () => Date.now(),
  pause: async (delayMs) => {
    await sleep(delayMs)
  },
}

let engine: LoadedEngine | undefined

const load = async (settings: EngineSettings): Promise<void> => {
  const loading = settings.kind === "decoder" ? loadDecoder(settings, world) : loadEncoder(settings, world)
  const made = await Effect.runPromise(Effect.result(loading))
  if (Result.isFailure(made)) return tell({ _tag: "Refused", failure: made.failure })
  engine = made.success
  tell(made.success.loaded)
}

const tellCounters = (id: number, loaded: LoadedEngine): void => {
  const { running, waiting, ...counted } = loaded.counters()
  const residentBytes = process.memoryUsage.rss()
  const counters = { ...counted, runningRequests: running, waitingRequests: waiting, residentBytes }
  tell({ _tag: "Counters", id, counters })
}

const receive = (message: HostMessage): void => {
  if (message._tag === "Load") return void load(message.settings)
  if (message._tag === "Stop") return process.exit(0)
  // The host sends nothing else before it was told `Loaded`.
  if (engine === undefined) return
  switch (message._tag) {
    case "Generate":
      return engine.generate?.(message)
    case "Encode":
      return engine.encode?.(message)
    case "Cancel":
      return engine.cancel(message.id)
    case "SetStepDelay":
      return engine.setStepDelayMs(message.delayMs)
    case "AskCounters":
      return tellCounters(message.id, engine)
  }
}

process.on("disconnect", () => process.exit(0))
process.on("message", (raw) => {
  const message = decodeHostMessage(raw)
  if (Result.isFailure(message)) throw new Error(`the host sent what is no message: ${message.failure}`)
  receive(message.success)
})
