/**
 * The boundary to a draft model: whether it may guess for the model at hand, and its step.
 */
import { Effect } from "effect"
import type { EngineSettings } from "../../engine/protocol.ts"
import type { TerminalModelFailure } from "../../ModelTarget.ts"
import { type ModelFolder, modelFailure, readModelFolder } from "../folder/modelFolder.ts"
import type { DecoderStep } from "./DecoderStep.ts"
import { isSeq2Seq } from "./openSeq2Seq.ts"
import { openStep } from "./openStep.ts"

/**
 * Opens the draft model, where one is asked for. Fails with reason `unsupported` where none can guess for this model, with
 * `tokenizer` where this one speaks of other tokens, and as `readModelFolder` and `openStep` do.
 */
export const openDraft = Effect.fnUntraced(function* (
  settings: EngineSettings,
  folder: ModelFolder,
): Effect.fn.Return<DecoderStep | undefined, TerminalModelFailure> {
  const { draft, name } = settings
  if (draft === undefined) return undefined
  const fail = modelFailure(name)
  if (isSeq2Seq(folder)) {
    return yield* fail("unsupported", "no draft model can guess for it: it is an encoder-decoder; leave draft out.")
  }
  if (folder.stepSensitive) {
    const reason =
      "its weights quantise activations as they run, so what it says depends on how many tokens a step takes"
    return yield* fail(
      "unsupported",
      `no draft model can guess for it: ${reason}; use other weights, or leave draft out.`,
    )
  }
  if (settings.provider !== "cpu") {
    const found = `its cache is kept by the execution provider ${settings.provider} and cannot be cut back`
    return yield* fail("unsupported", `no draft model can guess for it: ${found}; leave draft out.`)
  }
  const draftFolder = yield* readModelFolder(`${name}'s draft`, draft.folder, draft.dtype)
  if (draftFolder.tokenizerHash !== folder.tokenizerHash) {
    const files = `${draft.folder} has another tokenizer.json than ${settings.folder}`
    return yield* fail("tokenizer", `the draft model does not belong to it: ${files}; take one with the same file.`)
  }
  return (yield* openStep({ ...settings, dtype: draft.dtype, folder: draft.folder }, draftFolder)).step
})
