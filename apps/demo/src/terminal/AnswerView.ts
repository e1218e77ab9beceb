/**
 * The boundary between answers that arrive all at once and a screen that shows one at a time: a pure step from what
 * happened to what is written.
 *
 * On a terminal one conversation is on stage and its answer grows as its tokens come; what the others finish
 * meanwhile waits and is written when the stage is free. Elsewhere every event is a line, and tokens are not shown.
 */
import { clip, printable } from "./printable.ts"

export type AnswerEvent =
  /** An empty text is not shown: whoever asked has just typed it. */
  | { readonly _tag: "Asked"; readonly conversation: string; readonly text: string }
  /** New text of an answer, as the model gives it. */
  | { readonly _tag: "Chunk"; readonly conversation: string; readonly text: string }
  /** The text so far is withdrawn: another model starts over. A resumed answer just goes on and needs no event. */
  | { readonly _tag: "Retracted"; readonly conversation: string; readonly reason: string }
  | {
      readonly _tag: "Answered"
      readonly conversation: string
      readonly desk: string
      readonly text: string
      readonly elapsedMs: number
    }
  | { readonly _tag: "Failed"; readonly conversation: string; readonly reason: string }
  /** Nobody writes this answer any more; it may be asked for again. */
  | { readonly _tag: "CutOff"; readonly conversation: string }
  /** Something that is nobody's answer: a model was killed, traffic moves. */
  | { readonly _tag: "Noted"; readonly text: string }

export interface AnswerView {
  /** The conversation whose answer is being written; its line is not ended yet. */
  readonly stage: string | undefined
  /** Lines that wait for the stage to be free. */
  readonly waiting: ReadonlyArray<string>
  /** What was asked and is not written yet, by conversation, and what has been said to it off the stage. */
  readonly open: ReadonlyMap<string, { readonly question: string; readonly said: string }>
}

export const emptyView: AnswerView = { stage: undefined, waiting: [], open: new Map() }

/** A stage that holds back more lines than this (about a screen) is cleared: its answer is then written when it is whole. */
export const WAITING_MAX = 40
/** Characters of a question or a note that are shown; the log has the whole. */
const QUESTION_LENGTH_MAX = 160

const formatMs = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`)
const questionLine = (conversation: string, text: string) =>
  `${conversation} > ${clip(printable(text).trim(), QUESTION_LENGTH_MAX)}`
const noteLine = (text: string) => `-- ${printable(text)}`

/** The line of a finished answer, without its end. */
const outcomeLine = (event: Extract<AnswerEvent, { readonly _tag: "Answered" | "Failed" }>): string =>
  event._tag === "Answered"
    ? `${event.conversation} < ${printable(event.text).trim()} [${event.desk}, ${formatMs(event.elapsedMs)}]`
    : `${event.conversation} ! ${printable(event.reason)}`

const lines = (texts: ReadonlyArray<string>) => texts.map((text) => `${text}\n`).join("")

const withoutQuestion = (view: AnswerView, conversation: string): AnswerView["open"] => {
  const open = new Map(view.open)
  open.delete(conversation)
  return open
}

const withSaid = (view: AnswerView, conversation: string, said: string): AnswerView => {
  const asked = view.open.get(conversation)
  return asked === undefined ? view : { ...view, open: new Map(view.open).set(conversation, { ...asked, said }) }
}

const questionOf = (view: AnswerView, conversation: string): ReadonlyArray<string> => {
  const asked = view.open.get(conversation)
  return asked === undefined || asked.question === "" ? [] : [questionLine(conversation, asked.question)]
}

/** Only an answer that has its question to be written may enter: one that was cleared off the stage is past that. */
const stepOffStage = (view: AnswerView, conversation: string, text: string): readonly [AnswerView, string] => {
  const asked = view.open.get(conversation)
  if (asked === undefined) return [view, ""]
  const said = asked.said + text
  if (view.stage !== undefined || said.trim() === "") return [withSaid(view, conversation, said), ""]
  return [
    { ...view, stage: conversation, open: withoutQuestion(view, conversation) },
    `${lines(questionOf(view, conversation))}${conversation} < ${printable(said).trimStart()}`,
  ]
}

const wait = (view: AnswerView, texts: ReadonlyArray<string>): readonly [AnswerView, string] => {
  const waiting = [...view.waiting, ...texts]
  if (view.stage !== undefined && waiting.length <= WAITING_MAX) return [{ ...view, waiting }, ""]
  const ended = view.stage === undefined ? "" : " …\n"
  return [{ ...view, stage: undefined, waiting: [] }, `${ended}${lines(waiting)}`]
}

const leaveStage = (
  view: AnswerView,
  event: Extract<AnswerEvent, { readonly _tag: "Answered" | "Failed" }>,
): readonly [AnswerView, string] => {
  const end =
    event._tag === "Answered" ? ` [${event.desk}, ${formatMs(event.elapsedMs)}]` : ` … ! ${printable(event.reason)}`
  return [{ ...view, stage: undefined, waiting: [] }, `${end}\n${lines(view.waiting)}`]
}

/** What a terminal shows of an event. */
export const stepTerminal = (view: AnswerView, event: AnswerEvent): readonly [AnswerView, string] => {
  switch (event._tag) {
    case "Asked":
      return [{ ...view, open: new Map(view.open).set(event.conversation, { question: event.text, said: "" }) }, ""]
    case "Noted":
      // At once, or it would be told when it is over: an answer that is being written goes on below it.
      return view.stage === undefined
        ? wait(view, [noteLine(event.text)])
        : [{ ...view, waiting: [] }, ` …\n${lines([...view.waiting, noteLine(event.text)])}${view.stage} < …`]
    case "CutOff":
      return view.stage === event.conversation
        ? [{ ...view, stage: undefined, waiting: [] }, ` …\n${lines(view.waiting)}`]
        : [{ ...view, open: withoutQuestion(view, event.conversation) }, ""]
    case "Chunk":
      return view.stage === event.conversation
        ? [view, printable(event.text)]
        : stepOffStage(view, event.conversation, event.text)
    case "Retracted":
      return view.stage === event.conversation
        ? [view, ` …\n${noteLine(event.reason)}\n${event.conversation} < `]
        : wait(withSaid(view, event.conversation, ""), [noteLine(event.reason)])
    case "Answered":
    case "Failed": {
      if (view.stage === event.conversation) return leaveStage(view, event)
      const texts = [...questionOf(view, event.conversation), outcomeLine(event)]
      return wait({ ...view, open: withoutQuestion(view, event.conversation) }, texts)
    }
  }
}

/** What a file or a pipe gets of an event: whole lines, no tokens. */
export const renderLine = (event: AnswerEvent): string => {
  switch (event._tag) {
    case "Asked":
      return `${questionLine(event.conversation, event.text)}\n`
    case "Chunk":
    case "CutOff":
      return ""
    case "Retracted":
      return `${noteLine(event.reason)}\n`
    case "Noted":
      return `${noteLine(event.text)}\n`
    case "Answered":
    case "Failed":
      return `${outcomeLine(event)}\n`
  }
}
