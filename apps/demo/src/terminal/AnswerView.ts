/**
 * The boundary between answers that arrive all at once and a screen that shows one at a time: a pure step from what
 * happened to what is written.
 *
 * On a terminal one conversation is on stage and its answer grows as its tokens come; what the others finish
 * meanwhile waits and is written when the stage is free. Elsewhere every event is a line, and tokens are not shown.
 */
import { clip, printable } from "./printable.ts"

export type AnswerEvent =
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
  /** Something that is nobody's answer: a model was killed, traffic moves. */
  | { readonly _tag: "Noted"; readonly text: string }

export interface AnswerView {
  /** The conversation whose answer is being written; its line is not ended yet. */
  readonly stage: string | undefined
  /** Lines that wait for the stage to be free. */
  readonly waiting: ReadonlyArray<string>
  /** What was asked and not yet written, by conversation. */
  readonly questions: ReadonlyMap<string, string>
}

export const emptyView: AnswerView = { stage: undefined, waiting: [], questions: new Map() }

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

const withoutQuestion = (view: AnswerView, conversation: string): ReadonlyMap<string, string> => {
  const questions = new Map(view.questions)
  questions.delete(conversation)
  return questions
}

const questionOf = (view: AnswerView, conversation: string): ReadonlyArray<string> => {
  const question = view.questions.get(conversation)
  return question === undefined ? [] : [questionLine(conversation, question)]
}

const enterStage = (view: AnswerView, conversation: string, text: string): readonly [AnswerView, string] => [
  { ...view, stage: conversation, questions: withoutQuestion(view, conversation) },
  `${lines(questionOf(view, conversation))}${conversation} < ${printable(text).trimStart()}`,
]

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
      return [{ ...view, questions: new Map(view.questions).set(event.conversation, event.text) }, ""]
    case "Noted":
      return wait(view, [noteLine(event.text)])
    case "Chunk":
      if (view.stage === event.conversation) return [view, printable(event.text)]
      // Only an answer's beginning may enter: one that was cleared off the stage has had its question written.
      return view.stage === undefined && view.questions.has(event.conversation) && event.text.trim() !== ""
        ? enterStage(view, event.conversation, event.text)
        : [view, ""]
    case "Retracted":
      return view.stage === event.conversation
        ? [view, ` …\n${noteLine(event.reason)}\n${event.conversation} < `]
        : wait(view, [noteLine(event.reason)])
    case "Answered":
    case "Failed": {
      if (view.stage === event.conversation) return leaveStage(view, event)
      const texts = [...questionOf(view, event.conversation), outcomeLine(event)]
      return wait({ ...view, questions: withoutQuestion(view, event.conversation) }, texts)
    }
  }
}

/** What a file or a pipe gets of an event: whole lines, no tokens. */
export const renderLine = (event: AnswerEvent): string => {
  switch (event._tag) {
    case "Asked":
      return `${questionLine(event.conversation, event.text)}\n`
    case "Chunk":
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
