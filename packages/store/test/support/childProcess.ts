/** The boundary to other processes: runs a script of this folder under the same Node, line by line. */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"

export interface Child {
  readonly process: ChildProcess
  /** The next line of standard output; undefined when it has ended. */
  readonly line: () => Promise<string | undefined>
  /** The signal or exit code that it ended with. */
  readonly ended: Promise<string>
}

const scriptPath = (name: string): string => fileURLToPath(new URL(`./${name}`, import.meta.url))

const start = (script: string, args: ReadonlyArray<string>, uid: number | undefined): Child => {
  const child = spawn(process.execPath, [scriptPath(script), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  const lines: Array<string> = []
  const waiting: Array<(line: string | undefined) => void> = []
  let rest = ""
  let isOver = false
  child.stdout!.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n")
    rest = parts.pop()!
    for (const part of parts) {
      const next = waiting.shift()
      if (next === undefined) lines.push(part)
      else next(part)
    }
  })
  const ended = new Promise<string>((resolve) => {
    child.on("close", (code, signal) => {
      isOver = true
      for (const next of waiting) next(undefined)
      resolve(signal ?? String(code))
    })
  })
  const line = (): Promise<string | undefined> => {
    if (lines.length > 0) return Promise.resolve(lines.shift())
    return isOver ? Promise.resolve(undefined) : new Promise((resolve) => waiting.push(resolve))
  }
  return { process: child, line, ended }
}

/** Starts `script`; it is killed with the scope, if it still runs. */
export const startChild = (
  script: string,
  args: ReadonlyArray<string>,
  uid?: number,
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => start(script, args, uid)),
    ({ process: child, ended }) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return ended
      }),
  )
