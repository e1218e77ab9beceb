/**
 * The boundary between tests and what an engine runs inside its process, here in this one: requests go in and messages come
 * out without a channel between them, so that whole schedules can be tried by the hundred.
 */
import { Effect } from "effect"
import { settingsOf } from "../../src/engine/EngineOptions.ts"
import type { ChildMessage, Generate } from "../../src/engine/protocol.ts"
import type { DecoderOptions } from "../../src/index.ts"
import { loadDecoder } from "../../src/inference/decoding/loadDecoder.ts"

// As in the engine's own process (engineWorker.ts), which says why.
Reflect.deleteProperty(globalThis, "Float16Array")

export type Asked = Omit<Generate, "_tag" | "id" | "overflow" | "resumeTokenIds"> &
  Partial<Pick<Generate, "resumeTokenIds">>

export interface Heard {
  readonly tokenIds: ReadonlyArray<number>
  readonly text: string
  readonly end: Extract<ChildMessage, { _tag: "Finished" | "Failed" }>
}

/** Loads a decoder in this process. */
export const openLoaded = async (options: DecoderOptions) => {
  const listeners = new Map<number, (message: ChildMessage) => void>()
  let lastId = 0
  const tell = (message: ChildMessage) => {
    if ("id" in message) listeners.get(message.id)?.(message)
  }
  const world = { tell, now: () => Date.now(), clockMs: () => performance.now(), pause: async () => {} }
  const loaded = await Effect.runPromise(loadDecoder(settingsOf("decoder", options), world))
  /** Begins a request. `onTokens` is called with all its tokens so far; `cancel` ends it, and `heard` with it. */
  const ask = (asked: Asked, onTokens: (tokenIds: ReadonlyArray<number>) => void = () => {}) => {
    const id = ++lastId
    const tokenIds: Array<number> = []
    let text = ""
    let cancel = () => {}
    const heard = new Promise<Heard | undefined>((resolve) => {
      cancel = () => {
        if (!listeners.delete(id)) return
        loaded.cancel(id)
        resolve(undefined)
      }
      listeners.set(id, (message) => {
        if (message._tag === "Tokens") {
          tokenIds.push(...message.tokenIds)
          text += message.text
          onTokens(tokenIds)
        } else if (message._tag === "Finished" || message._tag === "Failed") {
          listeners.delete(id)
          resolve({ tokenIds, text, end: message })
        }
      })
    })
    loaded.generate?.({ _tag: "Generate", id, overflow: "refuse", resumeTokenIds: [], ...asked })
    return { heard, cancel }
  }
  return { ask, counters: loaded.counters }
}
