/** The boundary to `pontoon-models` as its user has it, a child process; and to its commands without one. */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import type { Output } from "../../src/commands/Output.ts"

const COMMAND = fileURLToPath(new URL("../../bin/pontoon-models.ts", import.meta.url))

export interface Ran {
  readonly out: string
  readonly err: string
  readonly code: number | null
}

export const startModels = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) => {
  const child = spawn(process.execPath, [COMMAND, ...args], { env: { ...process.env, ...env } })
  let out = ""
  let err = ""
  child.stdout.on("data", (bytes) => (out += String(bytes)))
  child.stderr.on("data", (bytes) => (err += String(bytes)))
  const ended = new Promise<Ran>((resolve) => child.on("close", (code) => resolve({ out, err, code })))
  return { child, ended }
}

export const runModels = (...args: ReadonlyArray<string>): Promise<Ran> => startModels(args).ended

/** An output that only gathers. */
export const gather = () => {
  const lines: Array<string> = []
  const remarks: Array<string> = []
  const output: Output = {
    write: (text) => Effect.sync(() => void lines.push(text)),
    print: (more) => Effect.sync(() => void lines.push(...more)),
    remark: (line) => Effect.sync(() => void remarks.push(line)),
    progress: () => {},
    isWatched: false,
  }
  return { output, lines, remarks }
}
