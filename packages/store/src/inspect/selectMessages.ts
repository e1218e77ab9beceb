/**
 * The boundary between the flags of a command that means many messages, `--actor`, `--task`, `--error`, `--since`, and the
 * rows of the log that they mean.
 */
import { isSelected, type MessageRow, type MessageSelection, READ_LIMIT_MAX, type ReadFailure } from "@pontoon/runtime"
import { Clock, Effect } from "effect"
import { TerminalCommandRefused } from "../operator/OperatorDesk.ts"
import type { InspectedLog } from "./InspectedLog.ts"
import { parseSince } from "./parseSince.ts"

/** Messages read at once. */
const PAGE = 500

/** What the command line said; undefined where it said nothing. */
export interface SelectionFlags {
  /** `TYPE` or `TYPE/ID`. */
  readonly actor: string | undefined
  readonly task: string | undefined
  readonly errorTag: string | undefined
  readonly since: string | undefined
  readonly limit: number | undefined
}

/** The message's id and the mailbox it waits for, or will. */
export interface Chosen {
  readonly id: string
  readonly box: string
}

export interface Selected {
  /** How many messages are meant. */
  readonly matched: number
  /** The oldest of them, as many as the limit allows. */
  readonly chosen: ReadonlyArray<Chosen>
}

export const isEmptySelection = ({ actor, errorTag, since, task }: SelectionFlags): boolean =>
  (actor ?? task ?? errorTag ?? since) === undefined

/** @fails TerminalCommandRefused where a flag has no meaning */
export const readSelection = Effect.fnUntraced(function* ({ actor, errorTag, limit, since, task }: SelectionFlags) {
  const slash = actor?.indexOf("/") ?? -1
  const sinceMs = since === undefined ? undefined : parseSince(since, yield* Clock.currentTimeMillis)
  if (since !== undefined && sinceMs === undefined) {
    const message = `"${since}" is no time; give one as 2026-01-31T12:00Z, or how long ago, as 90m, 2h or 3d.`
    return yield* new TerminalCommandRefused({ message })
  }
  const selection: MessageSelection = {
    ...(actor === undefined ? {} : { actorType: slash < 0 ? actor : actor.slice(0, slash) }),
    ...(actor === undefined || slash < 0 ? {} : { actorId: actor.slice(slash + 1) }),
    ...(task === undefined ? {} : { task }),
    ...(errorTag === undefined ? {} : { errorTag }),
    ...(sinceMs === undefined ? {} : { sinceMs }),
    limit: limit ?? READ_LIMIT_MAX,
  }
  return selection
})

/** Goes through the messages of these statuses by seq; finds each by its index, and keeps no body. */
export const selectMessages = Effect.fnUntraced(function* (
  log: InspectedLog,
  statuses: ReadonlyArray<"dead" | "pending" | "running">,
  selection: MessageSelection,
): Effect.fn.Return<Selected, ReadFailure> {
  const found: Array<Chosen & { readonly seq: number }> = []
  let matched = 0
  const { limit = READ_LIMIT_MAX } = selection
  for (const status of statuses) {
    let kept = 0
    for (let afterSeq = 0; ; ) {
      const page: ReadonlyArray<MessageRow> = yield* log.reader.messages({ status, afterSeq, limit: PAGE })
      for (const row of page) {
        if (!isSelected(row, selection)) continue
        matched++
        const box = row.pool === null ? `${row.actorType}/${row.actorId}` : `pool ${row.pool}`
        if (kept++ < limit) found.push({ id: row.id, box, seq: row.seq })
      }
      afterSeq = page.at(-1)?.seq ?? afterSeq
      if (page.length < PAGE) break
    }
  }
  return { matched, chosen: found.toSorted((a, b) => a.seq - b.seq).slice(0, limit) }
})
