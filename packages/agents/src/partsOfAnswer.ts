/**
 * The boundary from a target's answer to the parts of effect/ai's response: text as it comes, a call of a tool when it is
 * complete.
 */
import { Effect, Option, Schema, Stream } from "effect"
import { AiError, IdGenerator, type Response } from "effect/ai"
import type { GenerationEvent, GenerationFinished } from "./ModelTarget.ts"

/** Every text of a stream belongs to one block. */
const TEXT_ID = "0"

const finishPart = ({ reason, usage }: GenerationFinished, called: boolean): Response.FinishPartEncoded => ({
  type: "finish",
  reason: called ? "tool-calls" : reason === "length" ? "length" : "stop",
  usage: {
    inputTokens: {
      total: usage.promptTokens,
      uncached: usage.promptTokens - usage.cachedTokens,
      cacheRead: usage.cachedTokens,
      cacheWrite: undefined,
    },
    outputTokens: { total: usage.completionTokens, text: usage.completionTokens, reasoning: undefined },
  },
  response: undefined,
})

/** What a call looks like from its first characters on: the grammar lets no other text begin so. */
const CALL_BEGINS = /^(\{|<to)/
/** From which it cannot be told yet. */
const UNDECIDED = /^(|<|<t)$/

const decodeCall = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ name: Schema.String, arguments: Schema.Unknown })),
)

/** The call that an answer consists of; none where it was cut, as by a stop string. */
const callOf = (text: string) => decodeCall(text.replace(/^<tool_call>\n?|\n?<\/tool_call>$/g, ""))

interface Told {
  /** What has been written, as long as it may be a call or is one. */
  readonly held: string
  readonly isText: boolean
}

const cutCall = (method: string): AiError.AiError =>
  AiError.make({
    module: "Pontoon",
    method,
    reason: new AiError.InvalidOutputError({
      description: "the model's call of a tool was cut by a stop string or a stop token; ask without them",
    }),
  })

const textParts = (text: string, begun: boolean): ReadonlyArray<Response.StreamPartEncoded> => {
  if (text === "") return []
  const delta = { type: "text-delta", id: TEXT_ID, delta: text } as const
  return begun ? [delta] : [{ type: "text-start", id: TEXT_ID }, delta]
}

const endParts = (told: Told, finished: GenerationFinished, method: string) =>
  Effect.gen(function* () {
    const end: ReadonlyArray<Response.StreamPartEncoded> = [{ type: "text-end", id: TEXT_ID }]
    if (told.isText) return [...end, finishPart(finished, false)]
    if (!CALL_BEGINS.test(told.held)) {
      const text = textParts(told.held, false)
      return [...text, ...(text.length === 0 ? [] : end), finishPart(finished, false)]
    }
    const call = callOf(told.held)
    if (Option.isNone(call)) return yield* cutCall(method)
    const { arguments: params, name } = call.value
    const id = yield* Effect.flatMap(IdGenerator.IdGenerator, (ids) => ids.generateId())
    const part: Response.StreamPartEncoded = { type: "tool-call", id, name, params }
    return [part, finishPart(finished, true)]
  })

/**
 * @param mayCall whether the answer may be a call of a tool
 * @param method of effect/ai, for errors
 */
export const partsOfAnswer = <E>(
  events: Stream.Stream<GenerationEvent, E>,
  mayCall: boolean,
  method: string,
): Stream.Stream<Response.StreamPartEncoded, E | AiError.AiError, IdGenerator.IdGenerator> =>
  Stream.mapAccumEffect(
    events,
    (): Told => ({ held: "", isText: false }),
    (told, event) => {
      if (event._tag === "Finished") {
        return Effect.map(endParts(told, event, method), (parts) => [told, parts] as const)
      }
      if (told.isText) return Effect.succeed([told, textParts(event.text, true)] as const)
      const held = told.held + event.text
      const isHeld = mayCall ? UNDECIDED.test(held) || CALL_BEGINS.test(held) : held === ""
      return Effect.succeed(
        isHeld
          ? ([{ held, isText: false }, []] as const)
          : ([{ held: "", isText: true }, textParts(held, false)] as const),
      )
    },
  )
