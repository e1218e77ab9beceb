/** The boundary between a bank customer's question and its help text: asks the intent model, and answers from the book. */

import type { ClassifierActor } from "@pontoon/agents"
import { Actor } from "@pontoon/runtime"
import { Effect } from "effect"
import { answerIntent } from "../banking/answerIntent.ts"
import { Serve } from "./Desk.ts"

/** @param intents the pool of intent models */
export const makeBankDesk = (intents: Actor.Ref<typeof ClassifierActor.Classify>) =>
  Actor.make("bank-desk", {
    protocol: [Serve],
    handlers: {
      Serve: ({ text }, actor) =>
        Effect.map(actor.ask(intents, "Classify", { text }), ({ confidence, label }) => ({
          text: answerIntent(label, confidence).text,
          found: label,
          confidence,
        })),
    },
  })
