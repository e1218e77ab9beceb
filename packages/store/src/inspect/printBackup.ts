/** `pontoon backup`: copies the log beside its owner, with a bar on a terminal. */
import { Effect } from "effect"
import { backUp } from "../care/backUp.ts"
import type { Output } from "./Output.ts"

const BAR_WIDTH = 30

/** `[##########....................]  33 %` */
export const formatBar = (done: number, total: number): string => {
  const share = total === 0 ? 1 : Math.min(1, done / total)
  const filled = Math.floor(share * BAR_WIDTH)
  return `[${"#".repeat(filled)}${".".repeat(BAR_WIDTH - filled)}] ${String(Math.floor(share * 100)).padStart(3)} %`
}

/** Over itself, on standard error: the result alone goes to standard output. */
const showBar = (done: number, total: number): void => {
  process.stderr.write(`\r${formatBar(done, total)}${done === total ? "\n" : ""}`)
}

export const printBackup = Effect.fnUntraced(function* (
  from: string,
  output: Output,
  isJson: boolean,
  { to, isForced }: { readonly to: string; readonly isForced: boolean },
) {
  const onProgress = process.stderr.isTTY === true ? showBar : () => {}
  const pages = yield* backUp({ from, to, isForced, onProgress })
  yield* output.print([
    isJson ? JSON.stringify({ from, to, pages }) : `${from} is copied to ${to}, ${pages} pages, readable by you alone.`,
  ])
})
