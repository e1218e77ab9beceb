/**
 * The boundary between a broken answer and the next target: what can be kept of the tokens that readers already have.
 * Pure.
 */
import type { TargetDescription, TokenLogprobs } from "../ModelTarget.ts"
import type { GenerateChunk, Generation, Resumed } from "./Generate.ts"

export interface ResumePlan {
  /** Tokens to go on after, and their text as far as readers have it. */
  readonly tokenIds: ReadonlyArray<number>
  readonly text: string
  /** One for each token, where they were asked for. */
  readonly logprobs: ReadonlyArray<TokenLogprobs>
  /** Present where an earlier attempt had begun. */
  readonly resumed: Resumed | undefined
  /** The takeovers before this one. */
  readonly earlier: ReadonlyArray<Resumed>
  /** Present where the earlier attempts had already finished. */
  readonly finished: Generation | undefined
}

interface Read {
  began: Extract<GenerateChunk, { readonly _tag: "Began" }> | undefined
  tokenIds: Array<number>
  text: string
  logprobs: Array<TokenLogprobs>
  earlier: Array<Resumed>
}

/** Reads what earlier attempts left, and decides what this target can keep of it. */
export const planResume = (chunks: ReadonlyArray<GenerateChunk>, target: TargetDescription): ResumePlan => {
  const read: Read = { began: undefined, tokenIds: [], text: "", logprobs: [], earlier: [] }
  for (const chunk of chunks) {
    if (chunk._tag === "Began") {
      if (chunk.resumed !== undefined) read.earlier.push(chunk.resumed)
      if (chunk.resumed?.mode === "restart") {
        read.tokenIds = []
        read.text = ""
        read.logprobs = []
      }
      read.began = chunk
    } else if (chunk._tag === "Tokens") {
      read.tokenIds.push(...chunk.tokenIds)
      read.text += chunk.text
      read.logprobs.push(...(chunk.logprobs ?? []))
    } else {
      const { _tag, ...ending } = chunk
      const { text, tokenIds, earlier, logprobs } = read
      const told = logprobs.length === 0 ? {} : { logprobs }
      const finished = { text, tokenIds, ...told, model: read.began?.model ?? target.name, resumed: earlier, ...ending }
      return { tokenIds, text, logprobs, resumed: undefined, earlier, finished }
    }
  }
  const { began, tokenIds, text, earlier, logprobs } = read
  if (began === undefined)
    return { tokenIds: [], text: "", logprobs: [], resumed: undefined, earlier, finished: undefined }
  const mode = modeOf(began, target)
  const resumed: Resumed = { from: began.model, to: target.name, atToken: tokenIds.length, mode }
  const kept = mode === "restart" ? { tokenIds: [], text: "", logprobs: [] } : { tokenIds, text, logprobs }
  return { ...kept, resumed, earlier, finished: undefined }
}

const modeOf = (
  began: { readonly weightsHash?: string; readonly tokenizerHash?: string },
  target: TargetDescription,
): Resumed["mode"] => {
  const same = (a: string | undefined, b: string | undefined) => a !== undefined && a === b
  if (!target.capabilities.resume || !target.capabilities.tokenIds) return "restart"
  if (same(began.weightsHash, target.weightsHash) && same(began.tokenizerHash, target.tokenizerHash)) return "exact"
  return same(began.tokenizerHash, target.tokenizerHash) ? "prefix" : "restart"
}
