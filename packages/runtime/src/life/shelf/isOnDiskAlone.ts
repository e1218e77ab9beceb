/**
 * The boundary between an unfinished row and whoever does not find it in memory: whether it is on a shelf, and will come to
 * memory, or is somebody's who has it in hand.
 */
import type { MessageRow } from "../../message/Envelope.ts"
import { isPutOff } from "../deliver.ts"
import type { System } from "../System.ts"

/** @param row an unfinished one */
export const isOnDiskAlone = (system: System, row: MessageRow | undefined): boolean => {
  const { actors, backlog, closed, live, reserved } = system
  if (row === undefined || closed || live.has(row.id) || reserved.has(row.id)) return false
  // What was appended since, and was not put off, comes to memory the moment its sender is told.
  return isPutOff(row) || backlog?.holds(row) === true || !actors.has(row.actorType)
}
