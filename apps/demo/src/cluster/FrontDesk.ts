/**
 * The boundary to the customer: an actor that is one customer's conversation with the house. It has each message
 * classified, dispatches it by its content, and hands on the answer as it is written.
 */
import { type ClassifierActor, ConversationActor } from "@pontoon/agents"
import { Actor, type ActorContext, Task } from "@pontoon/runtime"
import { Effect, Schema, Stream } from "effect"
import { joinByDesk, splitRequests } from "../integrator/splitRequests.ts"
import { type DeskName, DeskName as DeskNameSchema, isDesk } from "./Desk.ts"
import { type Desks, serveAt, TOO_LONG } from "./Desks.ts"
import type { Gather } from "./Integrator.ts"

export const Heard = Schema.Struct({
  text: Schema.String,
  /** The desks that the message went to, in the order of its parts. */
  desks: Schema.Array(DeskNameSchema),
  /** How sure the front desk was of the least sure of them, 0 to 1. */
  confidence: Schema.Number,
})
export type Heard = typeof Heard.Type

export const Hear = Task.stream("Hear", {
  payload: { text: Schema.NonEmptyString },
  chunk: ConversationActor.AnswerChunk,
  whole: Heard,
})

const State = Schema.Struct({
  /** Where the customer was served last. */
  desk: Schema.NullOr(DeskNameSchema),
  turns: Schema.Number,
})
type State = typeof State.Type

/** Below it a follow-up ("yes", "a large one") stays at the desk that it follows. */
const CONFIDENCE_TO_MOVE = 0.75
/** "yes", "yep thats the one", "looks good send it off": of themselves they belong nowhere, so to the order in hand. */
const FOLLOW_UP_WORDS_MAX = 5

type Found = { readonly label: string; readonly confidence: number }

/** The desk for one part of a message. */
export const chooseDesk = (text: string, { confidence, label }: Found, last: DeskName | null): DeskName => {
  const desk = isDesk(label) ? label : "other"
  const short = text.trim().split(/\s+/).length <= FOLLOW_UP_WORDS_MAX
  if (last === "coffee" && desk === "other" && short) return last
  return last !== null && confidence < CONFIDENCE_TO_MOVE ? last : desk
}

type Context = ActorContext<typeof Hear, State, undefined>

/** The barista's answer is handed on while it is written. */
const streamCoffee = (actor: Context, desks: Desks, text: string, note: { reason: string; evidence: Schema.Json }) =>
  actor.stream(desks.coffee(actor.self.id), "Say", { text }, { dispatch: note }).pipe(
    Stream.runFoldEffect(
      () => "",
      (whole, chunk) =>
        Effect.as(actor.emit(chunk), chunk.resumed?.mode === "restart" ? chunk.text : whole + chunk.text),
    ),
    Effect.catchTag("TerminalPromptTooLong", () => Effect.as(actor.emit({ text: TOO_LONG }), TOO_LONG)),
  )

export interface FrontDeskOptions {
  /** The pool that tells desks apart. */
  readonly sorters: Actor.Ref<typeof ClassifierActor.Classify>
  readonly desks: Desks
  readonly integrator: (conversation: string) => Actor.Ref<typeof Gather>
}

export const makeFrontDesk = ({ desks, integrator, sorters }: FrontDeskOptions) =>
  Actor.make("front-desk", {
    protocol: [Hear],
    state: State,
    initialState: { desk: null, turns: 0 },
    handlers: {
      Hear: ({ text }, actor) =>
        Effect.gen(function* () {
          const conversation = actor.self.id
          const parts = splitRequests(text).filter((part) => part !== "")
          const found = yield* Effect.forEach(parts, (part) => actor.ask(sorters, "Classify", { text: part }), {
            concurrency: "unbounded",
          })
          const placed = parts.map((part, index) => ({
            desk: chooseDesk(part, found[index]!, actor.state.desk),
            text: part,
          }))
          const requests = joinByDesk(placed).flatMap(({ desk, text }) => (isDesk(desk) ? [{ desk, text }] : []))
          const confidence = Math.min(...found.map((each) => each.confidence))
          const names = requests.map(({ desk }) => desk)
          const reason = `${names.join(" and ")} by content, ${Math.round(confidence * 100)} % sure`
          const note = { reason, evidence: found.map(({ confidence, label }) => ({ label, confidence })) }
          const [first, ...others] = requests
          actor.setState({ desk: names.at(-1) ?? actor.state.desk, turns: actor.state.turns + 1 })
          if (first === undefined || others.length > 0) {
            const gathered = yield* actor.ask(
              integrator(conversation),
              "Gather",
              { conversation, requests },
              { dispatch: note },
            )
            yield* actor.emit({ text: gathered.text })
            return { text: gathered.text, desks: names, confidence }
          }
          if (first.desk === "coffee") {
            const whole = yield* streamCoffee(actor, desks, text, note)
            return { text: whole, desks: names, confidence }
          }
          const answer = yield* serveAt(actor, desks, first.desk, conversation, text)
          yield* actor.emit({ text: answer.text })
          return { text: answer.text, desks: names, confidence }
        }),
    },
  })
