/**
 * Steps 1 and 2 of a message's life as one: composed and routed, all but written. The boundary at which an ask that could
 * never be answered is still refused for free.
 */
import { Effect } from "effect"
import type { DispatchNote } from "../actor/ActorContext.ts"
import { TerminalReentrantAsk } from "../message/DeliveryFailure.ts"
import type { MessageFacts } from "../supervision/adaptive/Evidence.ts"
import { compose, type Draft, type Request } from "./compose.ts"
import type { LiveMessage } from "./LiveMessage.ts"
import { PROMISED, type Route, route } from "./route.ts"
import type { System } from "./System.ts"
import type { Victim } from "./waiting/places.ts"
import type { Wait, WaitGraph } from "./waiting/WaitGraph.ts"

/** A message that is ready to be written. */
export interface Prepared {
  readonly draft: Draft
  readonly to: Route
  readonly note: DispatchNote | undefined
  /** The message that goes for it, where its place in a mailbox was another's. */
  readonly victim?: Victim | undefined
}

export type PrepareFailure = Effect.Error<ReturnType<typeof compose> | ReturnType<typeof route>> | TerminalReentrantAsk

/** Asks within asks; deeper than any sensible plan, and far from the stack's end. */
const DEPTH_MAX = 64

/** Refuses an ask that would wait for a message that waits for it. */
export const refuseCycle = (system: System, parent: LiveMessage, to: Route) => {
  let ancestor: LiveMessage | undefined = parent
  for (let depth = 0; ancestor !== undefined; depth++) {
    const serial = ancestor.cell.actor.concurrency === 1
    if ((serial && ancestor.cell === to.cell) || depth > DEPTH_MAX) {
      const why = depth > DEPTH_MAX ? `asks are nested ${depth} deep` : `${to.cell.key} waits for this very answer`
      const message = `${parent.cell.key} cannot ask ${to.cell.key}: ${why}. Use send, or ask another actor.`
      return new TerminalReentrantAsk({ messageId: parent.id, actor: to.cell.key, message })
    }
    const causationId: string | null = ancestor.envelope.causationId
    ancestor = causationId === null ? undefined : system.live.get(causationId)
  }
  return undefined
}

/** Refuses an ask of handlers that run side by side and wait for each other; from here on the ask is one of them. */
const refuseRing = (waits: WaitGraph, wait: Wait, to: Route, childId: string) => {
  const { parent } = wait
  const ring = waits.ringOf(parent, to.cell)
  if (ring === undefined) {
    wait.cell = to.cell
    wait.childId = childId
    return undefined
  }
  const message = `${parent.cell.key} cannot ask ${to.cell.key}: they would wait for each other for ever (${ring.join(" waits for ")}). Use send for one of these asks, or ask another actor.`
  return new TerminalReentrantAsk({ messageId: parent.id, actor: to.cell.key, message })
}

/** Refuses an ask that could never be answered: along one chain of causes, or in a ring of handlers side by side. */
const refuse = (system: System, { parent }: Request, waits: WaitGraph | undefined, to: Route, draft: Draft) => {
  if (waits === undefined || parent === undefined) return undefined
  const { message, wait } = parent
  const cycle = refuseCycle(system, message, to)
  return cycle ?? (wait === undefined ? undefined : refuseRing(waits, wait, to, draft.envelope.id))
}

/**
 * What a pool knows of the message. It may be refused only where nothing can have been promised: a key may have been, and
 * so may what an earlier attempt of its sender's handler sent.
 */
const factsOfDraft = (system: System, { parent }: Request, { envelope }: Draft): MessageFacts => {
  const isNew = envelope.idempotencyKey === null && (parent === undefined || parent.message.attempt === 1)
  const { deadlineAtMs, priority } = envelope
  const leftMs = deadlineAtMs === null ? null : deadlineAtMs - system.now()
  // A sender's messages are a session: a conversation asks for its next turn where its last one is in a cache.
  const key = envelope.sender ?? envelope.correlationId
  return { ...PROMISED, phase: isNew ? "new" : "promised", leftMs, priority, key }
}

/**
 * Has ended already when it is returned, but where a schema does not decide at once.
 *
 * @param waits the asks that are open, where the sender waits for the answer, so that a cycle would never end
 */
export const prepare = (
  system: System,
  request: Request,
  note: DispatchNote | undefined,
  waits: WaitGraph | undefined,
): Effect.Effect<Prepared, PrepareFailure> =>
  Effect.flatMapEager(compose(system, request), (draft) =>
    Effect.flatMapEager(
      route(system, request.ref, factsOfDraft(system, request, draft)),
      (to): Effect.Effect<Prepared, PrepareFailure> => {
        const refused = refuse(system, request, waits, to, draft)
        return refused === undefined ? Effect.succeed({ draft, to, note }) : Effect.fail(refused)
      },
    ),
  )
