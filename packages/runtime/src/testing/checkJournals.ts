/**
 * The boundary between what messages recorded of their steps and its judge: what was done is compensated where the message
 * ends badly, once, the last step's first; and nowhere else. Looks at rows and nothing else, as `checkers.ts`.
 *
 * A message has a journal for each time that it begins anew: handed on, or redriven after it was compensated. The numbers of
 * a journal's acts lie in a range of 10^13; within it, an act that holds others owns a range of its own, three levels deep.
 */
import { isFinal, type MessageRow } from "../message/Envelope.ts"
import type { StepRow } from "../ports/MessageStore.ts"
import type { LogContents, Violations } from "./checkers.ts"

const JOURNAL = 1e13
const LEVELS = [1e9, 1e5, 1e2] as const

/** The number of the step that a compensation is of. */
const targetOf = ({ ordinal }: StepRow): number => -1 - ordinal

const journalOf = (row: StepRow): number => {
  if (row.kind === "end") return -row.ordinal / JOURNAL - 1
  return Math.floor((row.kind === "undo" ? targetOf(row) : row.ordinal) / JOURNAL)
}

/** Where an act is: its number, or that of the act that holds it, and so on down to its own. */
const placeOf = (ordinal: number): ReadonlyArray<number> => {
  const place: Array<number> = []
  let rest = ordinal % JOURNAL
  for (const size of LEVELS) {
    if (rest < size) break
    place.push(Math.floor(rest / size) - 1)
    rest %= size
  }
  return [...place, rest]
}

/** Whether act `a` comes before act `b` in the order in which a handler asks for them. */
export const isBefore = (a: number, b: number): boolean => {
  const [left, right] = [placeOf(a), placeOf(b)]
  const at = left.findIndex((number, depth) => number !== right[depth])
  return at < 0 ? left.length < right.length : left[at]! < (right[at] ?? -1)
}

/** The steps that the message's end says it could not compensate. */
const notUndone = ({ error }: MessageRow): ReadonlyArray<string> => {
  const { notUndone = [] } = JSON.parse(error ?? "{}") as {
    readonly notUndone?: ReadonlyArray<{ readonly step: string }>
  }
  return notUndone.map(({ step }) => step)
}

interface Journal {
  readonly undoable: ReadonlyArray<StepRow>
  readonly undone: ReadonlyArray<StepRow>
  readonly end: StepRow | undefined
}

const read = (rows: ReadonlyArray<StepRow>, index: number): Journal => {
  const own = rows.filter((row) => journalOf(row) === index)
  return {
    undoable: own.filter(({ kind }) => kind === "undoable"),
    undone: own.filter(({ kind }) => kind === "undo"),
    end: own.find(({ kind }) => kind === "end"),
  }
}

/** What must be true of every journal. */
const wrongIn = ({ end, undoable, undone }: Journal, inOrder: boolean): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const known = new Map(undoable.map(({ name, ordinal }) => [ordinal, name]))
  for (const row of undone) {
    if (known.get(targetOf(row)) !== row.name) wrong.push(`compensated step ${row.name}, which it did not do`)
  }
  if (undone.length > 0 && (end === undefined || end.name === "forwarded")) {
    wrong.push(`compensated ${undone[0]?.name}, and comes to no end`)
  }
  if (!inOrder) return wrong
  for (const row of undone) {
    const early = undone.find((other) => isBefore(targetOf(other), targetOf(row)) && other.atMs < row.atMs)
    if (early !== undefined) wrong.push(`compensated ${early.name} before the later ${row.name}`)
  }
  return wrong
}

/** What must be true of the journal that the message ended with. */
const wrongAtEnd = (message: MessageRow, { end, undoable, undone }: Journal): ReadonlyArray<string> => {
  const { status } = message
  const planned = end === undefined || end.name === "forwarded" ? undefined : end.name
  const said = [...notUndone(message)]
  // What could not be compensated at all is a dead letter, for a person to look at.
  if (planned !== undefined && planned !== status && !(status === "dead" && said.length > 0)) {
    return [`was coming to the end ${planned}, and is ${status}`]
  }
  if (status === "done") return undone.length > 0 ? [`is done, and has compensated ${undone[0]?.name}`] : []
  const done = new Set(undone.map(targetOf))
  const open = undoable.filter(({ ordinal }) => !done.has(ordinal)).map(({ name }) => name)
  return open.flatMap((name) => {
    const at = said.indexOf(name)
    if (at < 0) return [`is ${status}, and has not compensated ${name}`]
    said.splice(at, 1)
    return []
  })
}

const attemptOf = ({ result }: StepRow): number => (JSON.parse(result) as { readonly attempt: number }).attempt

/**
 * What a message did is compensated where it ends badly, once and in reverse order, and only then; what was not, its end
 * says.
 *
 * @param inOrder whether the times of the log say what came first: not where the clock was set
 */
export const checkJournals = ({ messages, steps }: LogContents, inOrder: boolean): Violations =>
  messages.flatMap((message) => {
    const rows = steps.get(message.id) ?? []
    if (!rows.some(({ kind }) => kind === "undoable" || kind === "undo" || kind === "end")) return []
    const current = rows.filter((row) => row.kind === "end" && attemptOf(row) <= message.attemptsBefore).length
    const wrong = Array.from({ length: current + 1 }, (_, index) => wrongIn(read(rows, index), inOrder)).flat()
    const atEnd = isFinal(message.status) ? wrongAtEnd(message, read(rows, current)) : []
    return [...wrong, ...atEnd].map((what) => `message ${message.id} ${what}`)
  })
