/** The boundary between a desk's name and its actor: who serves what, in one place. */
import type { ConversationActor } from "@pontoon/agents"
import type { Actor, ActorContext, Task } from "@pontoon/runtime"
import { Effect } from "effect"
import type { DeskAnswer, DeskName, Serve } from "./Desk.ts"

/** The desks, each a conversation's own by its id. */
export interface Desks {
  readonly coffee: (conversation: string) => Actor.Ref<typeof ConversationActor.Say>
  readonly banking: (conversation: string) => Actor.Ref<typeof Serve>
  readonly finance: (conversation: string) => Actor.Ref<typeof Serve>
}

/** What no desk is for. */
export const NO_DESK =
  "I can take your coffee order, help with your bank account, or read a finance headline for you; I can't help with that."

/** A message that does not fit the barista's context, whatever is cut of the history. */
export const TOO_LONG = "That is more than I can read at once; could you say it in a few sentences?"

type AnyContext = Pick<ActorContext<Task.AnyTask, unknown, unknown>, "ask">

/** Asks a desk for an answer in one piece. One durable act, so that many of them can run at once. */
export const serveAt = (actor: AnyContext, desks: Desks, desk: DeskName, conversation: string, text: string) => {
  switch (desk) {
    case "coffee":
      return actor.ask(desks.coffee(conversation), "Say", { text }).pipe(
        Effect.map(({ text }): DeskAnswer => ({ text })),
        Effect.catchTag("TerminalPromptTooLong", () => Effect.succeed<DeskAnswer>({ text: TOO_LONG })),
      )
    case "banking":
      return actor.ask(desks.banking(conversation), "Serve", { text })
    case "finance":
      return actor.ask(desks.finance(conversation), "Serve", { text })
    case "other":
      return Effect.succeed<DeskAnswer>({ text: NO_DESK })
  }
}
