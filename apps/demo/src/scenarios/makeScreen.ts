/** The boundary between what happens on stage and the terminal, or the file, that shows it: lines and a progress bar. */
import { allowsColor, makeProgressBar, type ProgressBar, type ProgressOutput } from "@pontoon/runtime/testing"
import { type AnswerEvent, type AnswerView, emptyView, renderLine, stepTerminal } from "../terminal/AnswerView.ts"

export interface Screen {
  readonly show: (event: AnswerEvent) => void
  /** Plain text, as it is. */
  readonly write: (text: string) => void
  /** From now on a bar shows how many of `total` are done. */
  readonly expect: (total: number, done: () => number) => void
  /** Ends the bar. */
  readonly end: () => void
}

export const makeScreen = (output: ProgressOutput, env: Readonly<Record<string, string | undefined>>): Screen => {
  let view: AnswerView = emptyView
  let bar: ProgressBar | undefined
  let count = () => 0
  const render = (event: AnswerEvent): string => {
    if (output.isTTY !== true) return renderLine(event)
    const [next, text] = stepTerminal(view, event)
    view = next
    return text
  }
  return {
    show: (event) => {
      const text = render(event)
      if (text !== "") {
        bar?.clear()
        output.write(text)
      }
      // A bar would erase the line of an answer that is being written.
      if (view.stage === undefined) bar?.advance(count())
    },
    write: (text) => {
      output.write(text)
    },
    expect: (total, done) => {
      count = done
      bar = makeProgressBar({
        output,
        label: "messages",
        total,
        now: () => performance.now(),
        color: allowsColor(output, env),
      })
    },
    end: () => {
      bar?.end()
      bar = undefined
    },
  }
}
