/**
 * The boundary between a customer and the models: an actor that is one conversation. It holds the history, runs its
 * messages one at a time, and asks a model, or a pool of them, for each answer; so a reroute never loses a conversation.
 */

import { Actor, Task } from "@pontoon/runtime"
import { Effect, Schema, Stream } from "effect"
import { ChatMessage, Sampling, TerminalPromptTooLong, Usage } from "../ModelTarget.ts"
import { Cut, FinishReason, type Generate, Resumed } from "./Generate.ts"

/** The answer to one turn. */
export const Answer = Schema.Struct({
  text: Schema.String,
  /** The model that finished it. */
  model: Schema.String,
  reason: FinishReason,
  usage: Usage,
  /** Present where the history was cut to fit the model's context. */
  cut: Schema.optionalKey(Cut),
  resumed: Schema.Array(Resumed),
})
export type Answer = typeof Answer.Type

/**
 * A part of an answer. Where a model begins, the text is empty and `model` names it; where it goes on with what another
 * had begun, `resumed` says how.
 */
export const AnswerChunk = Schema.Struct({
  text: Schema.String,
  model: Schema.optionalKey(Schema.String),
  resumed: Schema.optionalKey(Resumed),
})
export type AnswerChunk = typeof AnswerChunk.Type

export const Say = Task.stream("Say", {
  payload: { text: Schema.NonEmptyString },
  chunk: AnswerChunk,
  whole: Answer,
  error: TerminalPromptTooLong,
})

/** How a turn is asked for. */
const Terms = Schema.Struct({
  system: Schema.optionalKey(Schema.String),
  sampling: Sampling,
  overflow: Schema.Literals(["refuse", "drop-oldest"]),
})

export const History = Schema.Struct({ turns: Schema.Array(ChatMessage) })

export interface ConversationOptions {
  /** The model actor, or the pool, that answers. */
  readonly model: Actor.Ref<typeof Generate>
  /** Said to the model before every conversation. Default none. */
  readonly system?: string
  readonly sampling?: Sampling
  /**
   * Turns kept as history, the latest, from a customer's on. Default 64; 0 keeps none. Raising it lets conversations
   * remember longer, and their state and prompts grow.
   */
  readonly turnsMax?: number
  /**
   * What to do when the history does not fit the model's context: `drop-oldest` (default) drops whole turns from the
   * oldest on and says so in `cut`; `refuse` fails with `TerminalPromptTooLong`.
   */
  readonly overflow?: "refuse" | "drop-oldest"
}

/** Far more than the context of a small model holds, and a state of some tens of kilobytes at most. */
const TURNS_MAX = 64

/** The latest turns. Chat templates want the customer to begin, so an answer whose question is forgotten goes too. */
const keepTurns = (turns: ReadonlyArray<ChatMessage>, turnsMax: number): ReadonlyArray<ChatMessage> => {
  const kept = turns.slice(Math.max(0, turns.length - turnsMax))
  const first = kept.findIndex(({ role }) => role === "user")
  return first === -1 ? [] : kept.slice(first)
}

interface Folded {
  readonly text: string
  readonly model: string
  readonly resumed: ReadonlyArray<Resumed>
  readonly ending: Pick<Answer, "reason" | "usage" | "cut"> | undefined
}

const NOTHING: Folded = { text: "", model: "", resumed: [], ending: undefined }

/** How the answer grows by one chunk of the model's, and what of it the customer gets to see. */
const fold = (
  answer: Folded,
  chunk: (typeof Generate)["successSchema"]["success"]["Type"],
): [Folded, AnswerChunk | undefined] => {
  switch (chunk._tag) {
    case "Tokens":
      return [{ ...answer, text: answer.text + chunk.text }, chunk.text === "" ? undefined : { text: chunk.text }]
    case "Began": {
      const { model, resumed } = chunk
      if (resumed === undefined)
        return [
          { ...answer, model },
          { text: "", model },
        ]
      const text = resumed.mode === "restart" ? "" : answer.text
      return [
        { ...answer, text, model, resumed: [...answer.resumed, resumed] },
        { text: "", model, resumed },
      ]
    }
    case "Finished": {
      const { _tag, ...ending } = chunk
      return [{ ...answer, ending }, undefined]
    }
  }
}

/**
 * A kind of conversation; each id is one.
 *
 * ```ts
 * const chat = ConversationActor.make("chat", { model: pool.ref, system: "You are a barista." })
 * const answer = system.ask(chat.ref("customer-42"), "Say", { text: "A latte, please." })
 * ```
 */
export const make = (name: string, options: ConversationOptions) => {
  const { model, overflow = "drop-oldest", sampling = {}, system, turnsMax = TURNS_MAX } = options
  if (!Number.isSafeInteger(turnsMax) || turnsMax < 0) {
    throw new Error(`The conversation ${name} has turnsMax ${turnsMax}; it must be a whole number, 0 or more.`)
  }
  const current: typeof Terms.Type = { sampling, overflow, ...(system === undefined ? {} : { system }) }
  return Actor.make(name, {
    protocol: [Say],
    state: History,
    initialState: { turns: [] },
    handlers: {
      Say: ({ text }, actor) =>
        Effect.gen(function* () {
          // Recorded, so that a turn that was begun is ended on its own terms: after a crash the program may have come back
          // with other ones, and a handler that runs again has to ask the same again.
          const terms = yield* actor.step("terms", Terms, Effect.succeed(current))
          const preamble: ReadonlyArray<ChatMessage> =
            terms.system === undefined ? [] : [{ role: "system", content: terms.system }]
          const asked = [...actor.state.turns, { role: "user", content: text } as const]
          const cacheKey = `${actor.self.type}/${actor.self.id}`
          const payload = {
            prompt: [...preamble, ...asked],
            sampling: terms.sampling,
            overflow: terms.overflow,
            cacheKey,
          }
          const answer = yield* actor.stream(model, "Generate", payload).pipe(
            Stream.runFoldEffect(
              () => NOTHING,
              (soFar, chunk) => {
                const [next, shown] = fold(soFar, chunk)
                return shown === undefined ? Effect.succeed(next) : Effect.as(actor.emit(shown), next)
              },
            ),
          )
          if (answer.ending === undefined) {
            return yield* Effect.fail({
              _tag: "RetryableCutStream",
              message: "The answer ended without saying why.",
            } as const)
          }
          const turns = [...asked, { role: "assistant", content: answer.text } as const]
          actor.setState({ turns: keepTurns(turns, turnsMax) })
          return { text: answer.text, model: answer.model, resumed: answer.resumed, ...answer.ending }
        }),
    },
  })
}
