/**
 * The boundary between tests and decoders without an engine: the steps themselves, in this process.
 */
import { Effect } from "effect"
import { settingsOf } from "../../src/engine/EngineOptions.ts"
import type { DecoderOptions } from "../../src/index.ts"
import type { DecoderStep, KvSlot } from "../../src/inference/decoding/DecoderStep.ts"
import { openStep } from "../../src/inference/decoding/openStep.ts"
import { readModelFolder } from "../../src/inference/folder/modelFolder.ts"

// As in the engine's own process (engineWorker.ts), which says why.
Reflect.deleteProperty(globalThis, "Float16Array")

/** Opens the step that an engine with these options would run. */
export const openDecoderStep = async (options: DecoderOptions): Promise<DecoderStep> => {
  const settings = settingsOf("decoder", options)
  const folder = await Effect.runPromise(readModelFolder(settings.name, settings.folder, settings.dtype))
  return (await Effect.runPromise(openStep(settings, folder))).step
}

/** Feeds tokens in one row. @returns the logits of its last `logitsFrom` tokens */
export const feed = async (step: DecoderStep, slot: KvSlot, tokenIds: ReadonlyArray<number>, logitsFrom = 1) => {
  const [logits] = await step.run([{ slot, tokenIds, logitsFrom }])
  if (logits === undefined) throw new Error("a row without logits")
  const width = logits.length / logitsFrom
  return Array.from({ length: logitsFrom }, (_, at) => logits.slice(at * width, (at + 1) * width))
}
