/**
 * The boundary between several answers and one: asks each desk that a message needs, all at once, and joins what they say
 * in the order of the questions.
 */
import { Actor } from "@pontoon/runtime"
import { Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { DeskAnswer, DeskName } from "./Desk.ts"
import { type Desks, serveAt } from "./Desks.ts"

const Request = Schema.Struct({ desk: DeskName, text: Schema.NonEmptyString })

export const Gather = Rpc.make("Gather", {
  payload: {
    /** The conversation that asks; desks keep what they know under it. */
    conversation: Schema.NonEmptyString,
    requests: Schema.Array(Request).check(Schema.isMinLength(1)),
  },
  success: Schema.Struct({
    text: Schema.String,
    answers: Schema.Array(Schema.Struct({ desk: DeskName, answer: DeskAnswer })),
  }),
})

export const makeIntegrator = (desks: Desks) =>
  Actor.make("integrator", {
    protocol: [Gather],
    handlers: {
      Gather: ({ conversation, requests }, actor) =>
        Effect.gen(function* () {
          const answers = yield* Effect.forEach(
            requests,
            ({ desk, text }) =>
              Effect.map(serveAt(actor, desks, desk, conversation, text), (answer) => ({ desk, answer })),
            { concurrency: "unbounded" },
          )
          return { text: answers.map(({ answer }) => answer.text).join(" "), answers }
        }),
    },
  })
