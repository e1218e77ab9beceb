/**
 * Beside the steps of a life: the boundary between an operator's selection and the messages it means. Each is acted on as
 * it would be alone; what one is refused keeps none of the others.
 */
import { Effect } from "effect"
import { formatAddress } from "../../message/Address.ts"
import { TerminalInvalidMessage } from "../../message/DeliveryFailure.ts"
import type { MessageRow } from "../../message/Envelope.ts"
import { isSelected, type MessageSelection, mistakeInSelection, SELECTION_LIMIT } from "../../ports/MessageSelection.ts"
import type { CancelReport, Operations, RedriveReport } from "../../ports/OperatorPort.ts"
import type { ReadFailure } from "../../ports/StoreFailure.ts"

/** Rows read at once; between two pages the loop turns, so that a long list keeps nobody waiting. */
const PAGE = 500

type Pages = (afterSeq: number, limit: number) => Effect.Effect<ReadonlyArray<MessageRow>, ReadFailure>

/** What is kept of a row until it is its turn: a body may be a megabyte. */
interface Chosen {
  readonly id: string
  /** Whose mailbox it goes to. */
  readonly box: string
}

/** Goes through all pages: how many are meant, and the oldest of them, as many as the limit allows. */
const choose = Effect.fnUntraced(function* (pages: Pages, selection: MessageSelection) {
  const mistake = mistakeInSelection(selection)
  if (mistake !== undefined) {
    return yield* new TerminalInvalidMessage({ actor: "", task: selection.task ?? "", message: mistake })
  }
  const { limit = SELECTION_LIMIT } = selection
  const chosen: Array<Chosen> = []
  let matched = 0
  for (let afterSeq = 0; ; ) {
    const page = yield* pages(afterSeq, PAGE)
    for (const row of page) {
      afterSeq = row.seq
      if (!isSelected(row, selection)) continue
      matched++
      const box = row.pool === null ? formatAddress({ type: row.actorType, id: row.actorId }) : `pool ${row.pool}`
      if (chosen.length < limit) chosen.push({ id: row.id, box })
    }
    if (page.length < PAGE) return { matched, chosen }
    yield* Effect.yieldNow
  }
})

/** Failures of one that would befall the next as well: the disk, the end of the system. */
const isGeneral = (tag: string): boolean => tag === "RetryableClosing" || tag.endsWith("StoreFailure")

/**
 * Redrives what the selection means, the oldest first. A letter whose mailbox is full is left, with all behind it for the
 * same mailbox, and those of others go on; nothing waits in here.
 */
export const redriveMany = Effect.fnUntraced(function* (
  pages: Pages,
  redrive: Operations["redrive"],
  selection: MessageSelection,
): Effect.fn.Return<RedriveReport, ReadFailure | TerminalInvalidMessage> {
  const { chosen, matched } = yield* choose(pages, selection)
  const redriven: Array<string> = []
  const refused: Array<{ readonly messageId: string; readonly message: string }> = []
  const full = new Set<string>()
  let retryAfterMs = 0
  let stopped: string | undefined
  for (const { box, id } of selection.dryRun === true ? [] : chosen) {
    if (full.has(box)) continue
    const failure = yield* Effect.match(redrive(id), { onSuccess: () => undefined, onFailure: (each) => each })
    if (failure === undefined) redriven.push(id)
    else if (failure._tag === "RetryableMailboxFull" || failure._tag === "RetryableSystemFull") {
      full.add(box)
      retryAfterMs = Math.max(retryAfterMs, failure.retryAfterMs)
    } else if (isGeneral(failure._tag)) {
      stopped = failure.message
      break
    } else refused.push({ messageId: id, message: failure.message })
  }
  return {
    matched,
    redriven,
    refused,
    left: matched - redriven.length - refused.length,
    ...(full.size > 0 ? { retryAfterMs } : {}),
    ...(stopped === undefined ? {} : { stopped }),
  }
})

/** As many as one commit holds easily. */
const CANCELS_MAX = 256

/** Takes back what the selection means of the unfinished messages, the oldest first. */
export const cancelMany = Effect.fnUntraced(function* (
  pages: Pages,
  cancel: Operations["cancel"],
  selection: MessageSelection,
): Effect.fn.Return<CancelReport, ReadFailure | TerminalInvalidMessage> {
  const { chosen, matched } = yield* choose(pages, selection)
  const each = ({ id }: Chosen) => Effect.map(cancel(id), (isCancelled) => (isCancelled ? [id] : []))
  // Side by side: each waits until its end is on disk, and they share commits.
  const taken = yield* Effect.forEach(selection.dryRun === true ? [] : chosen, each, { concurrency: CANCELS_MAX })
  const cancelled = taken.flat()
  return { matched, cancelled, left: matched - cancelled.length }
})
