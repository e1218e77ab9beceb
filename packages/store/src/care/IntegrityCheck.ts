/**
 * The boundary between an owner that did not come to its end and the trust in what it left: after an unclean stop the
 * whole file is checked, beside the traffic, and the finding is written down and told.
 *
 * SQLite's recovery makes a killed process harmless; this is for what is beneath it, a disk or a file system that lost or
 * mixed up what it had promised. It runs in a process of its own and not in a worker thread: a thread inside of SQLite
 * cannot be stopped, and closing the owner would wait for the end of a check that takes minutes on a large log.
 */
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Database } from "better-sqlite3"
import type { Finding } from "./integrityWorker.ts"
import { putUpkeep, readUpkeep } from "./upkeep.ts"

/** What was accepted before the stop is recovered first, in milliseconds; a store that is open for less is not checked. */
const DELAY_MS = 1_000

export interface IntegrityReport {
  readonly sound: (message: string) => void
  /** The file is damaged. */
  readonly damaged: (message: string) => void
  /** Nobody knows; the next opening tries again. */
  readonly undecided: (message: string) => void
}

export interface IntegrityCheck {
  /** Ends it, finished or not; what is not finished is due at the next opening. */
  readonly stop: () => void
}

/** The worker's file lies beside this one, under the extension that this one has: sources in the workspace, else built. */
const workerUrl = (): URL =>
  new URL(`./integrityWorker${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url)

const isFinding = (message: unknown): message is Finding =>
  typeof message === "object" && message !== null && "result" in message && "detail" in message

const damage = (file: string, detail: string | null): string =>
  `${file} is damaged (${detail ?? "no detail"}). It is served as far as it can be read; stop it, keep a copy, and restore a backup, or save what is readable with sqlite3 ${file} .recover.`

/**
 * Begins a check where one is due.
 *
 * @param delayMs how long it waits before, so that serving has begun
 */
export const makeIntegrityCheck = (
  database: Database,
  file: string,
  report: IntegrityReport,
  delayMs: number = DELAY_MS,
  url: URL = workerUrl(),
): IntegrityCheck => {
  const known = readUpkeep(database, "integrity")
  if (known === undefined || known.value === "ok") return { stop: () => {} }
  // A damaged file does not mend by being opened again.
  if (known.value === "corrupt") report.damaged(damage(file, known.detail))
  let child: ChildProcess | undefined
  let isOver = false

  const conclude = ({ result, detail }: Finding): void => {
    if (isOver) return
    isOver = true
    if (result === "undecided") {
      report.undecided(`${file} was not closed by its last owner, and could not be checked (${detail ?? "no detail"}).`)
      return
    }
    try {
      putUpkeep(database, "integrity", result, detail)
    } catch {
      // Busy or full: it is told now all the same, and stays due.
    }
    if (result === "ok")
      report.sound(`${file} was not closed by its last owner; every page of it was checked and is sound.`)
    else report.damaged(damage(file, detail))
  }

  const start = (): void => {
    const started = fork(fileURLToPath(url), [file], { stdio: "ignore", execArgv: [] })
    child = started
    started.on("message", (message) => {
      if (isFinding(message)) conclude(message)
    })
    started.on("error", ({ message }) => conclude({ result: "undecided", detail: message }))
    started.on("exit", (code) => conclude({ result: "undecided", detail: `the check ended with code ${code}` }))
    // It keeps no process alive.
    started.unref()
    started.channel?.unref()
  }
  const timer = setTimeout(start, delayMs).unref()

  return {
    stop: () => {
      isOver = true
      clearTimeout(timer)
      child?.kill("SIGKILL")
    },
  }
}
