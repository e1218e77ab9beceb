/** The boundary of one wait for a message: how it is over. */
import type { OutcomeFailure } from "../message/DeliveryFailure.ts"
import type { Reply } from "../message/Reply.ts"
import type { TerminalStoreFailure } from "../ports/StoreFailure.ts"

/** How a wait ends: with the message's reply, or without knowing it. */
export type Ending =
  | { readonly _tag: "Replied"; readonly reply: Reply }
  | { readonly _tag: "Unknown"; readonly failure: OutcomeFailure | TerminalStoreFailure }
