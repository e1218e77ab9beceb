/**
 * The boundary between a conversation and the context it has to fit into. Pure, given the encoder.
 */
import { Result } from "effect"
import type { ChatMessage, Overflow } from "../../ModelTarget.ts"

export interface FittedPrompt {
  readonly tokenIds: ReadonlyArray<number>
  /** It is read by a graph of its own (encoder-decoders): penalties of what was said before look at the answer alone. */
  readonly isApart?: boolean
  /** Present where turns were dropped. */
  readonly cut?: { readonly rule: Overflow; readonly droppedTurns: number; readonly droppedTokens: number }
}

export type PromptProblem =
  | { readonly _tag: "Refused"; readonly message: string }
  | { readonly _tag: "TooLong"; readonly promptTokens: number; readonly atLeastTokens: number }

type EncodeChat = (messages: ReadonlyArray<ChatMessage>) => Result.Result<ReadonlyArray<number>, string>

/**
 * Encodes `prompt` so that it takes at most `roomTokens`.
 *
 * `drop-oldest` drops the fewest turns from the oldest on; a leading system message and the last turn stay. A template
 * may refuse what is left, as one that wants the user to speak first: then the next cut that it takes is meant.
 */
export const fitPrompt = (
  prompt: ReadonlyArray<ChatMessage>,
  roomTokens: number,
  overflow: Overflow,
  encodeChat: EncodeChat,
): Result.Result<FittedPrompt, PromptProblem> => {
  const whole = encodeChat(prompt)
  if (Result.isFailure(whole)) return Result.fail({ _tag: "Refused", message: whole.failure })
  const promptTokens = whole.success.length
  if (promptTokens <= roomTokens) return Result.succeed({ tokenIds: whole.success })
  const tooLong = (atLeastTokens: number) => Result.fail({ _tag: "TooLong" as const, promptTokens, atLeastTokens })
  if (overflow === "refuse") return tooLong(promptTokens)

  const head = prompt[0]?.role === "system" ? 1 : 0
  const droppableMax = Math.max(0, prompt.length - head - 1)
  const encodeCut = (dropped: number) => encodeChat([...prompt.slice(0, head), ...prompt.slice(head + dropped)])
  /** The first cut of at least `dropped` turns that the template takes; the more are dropped, the fewer tokens it has. */
  const cutFrom = (dropped: number) => {
    for (let turns = dropped; turns <= droppableMax; turns++) {
      const encoded = encodeCut(turns)
      if (Result.isSuccess(encoded)) return { turns, tokenIds: encoded.success }
    }
    return undefined
  }
  /** The deepest cut that the template takes: if not even that fits, none does. */
  const deepestCut = () => {
    for (let turns = droppableMax; turns > 0; turns--) {
      const encoded = encodeCut(turns)
      if (Result.isSuccess(encoded)) return { turns, tokenIds: encoded.success }
    }
    return undefined
  }
  let least = deepestCut()
  if (least === undefined || least.tokenIds.length > roomTokens) return tooLong(least?.tokenIds.length ?? promptTokens)
  // Bisection: a prompt of 1,000 turns is encoded ten times, not a thousand.
  let tooFew = 0
  let enough = least.turns
  while (tooFew + 1 < enough) {
    const middle = Math.floor((tooFew + enough) / 2)
    const cut = cutFrom(middle)
    if (cut !== undefined && cut.tokenIds.length <= roomTokens) {
      enough = middle
      least = cut
    } else tooFew = middle
  }
  const droppedTokens = promptTokens - least.tokenIds.length
  return Result.succeed({ tokenIds: least.tokenIds, cut: { rule: overflow, droppedTurns: least.turns, droppedTokens } })
}
