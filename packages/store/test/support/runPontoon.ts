/** The boundary to the command as its user has it: a child process, its output and its exit code. */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"

export const PONTOON = fileURLToPath(new URL("../../bin/pontoon.ts", import.meta.url))

export interface Ran {
  readonly out: string
  readonly err: string
  readonly code: number
}

export const runPontoon = (...args: ReadonlyArray<string>): Effect.Effect<Ran> =>
  Effect.callback((resume) => {
    execFile(process.execPath, [PONTOON, ...args], (error, out, err) => {
      resume(Effect.succeed({ out, err, code: error === null ? 0 : Number(error.code) }))
    })
  })
