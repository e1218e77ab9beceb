/** The boundary between a headline and what to think of it: asks the sentiment model. */

import type { ClassifierActor } from "@pontoon/agents"
import { Actor } from "@pontoon/runtime"
import { Effect } from "effect"
import { describeSentiment, sentimentOf } from "../finance/describeSentiment.ts"
import { Serve } from "./Desk.ts"

/** @param sentiments the pool of sentiment models */
export const makeFinanceDesk = (sentiments: Actor.Ref<typeof ClassifierActor.Classify>) =>
  Actor.make("finance-desk", {
    protocol: [Serve],
    handlers: {
      Serve: ({ text }, actor) =>
        Effect.map(actor.ask(sentiments, "Classify", { text }), ({ confidence, label }) => ({
          text: describeSentiment(text, sentimentOf(label) ?? "neutral", confidence),
          found: label,
          confidence,
        })),
    },
  })
