/** The boundary to the demo's programs as their users have them: processes with a command line, output, signals, a file. */
import { spawn } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"

const at = (path: string) => fileURLToPath(new URL(`../../../../${path}`, import.meta.url))

export const DEMO = at("apps/demo/src/main.ts")
export const EVAL = at("apps/demo/src/eval.ts")
export const PONTOON = at("packages/store/bin/pontoon.ts")

export interface Ended {
  readonly status: number | null
  readonly signal: string | null
  readonly out: string
  readonly err: string
}

export interface Program {
  readonly pid: number
  readonly ended: Promise<Ended>
  /** Waits until standard output, or error, has `text`; fails where the program ends without it. */
  readonly says: (text: string) => Promise<void>
  /** To the program alone, or to its whole group, as a terminal sends Ctrl-C. */
  readonly signal: (signal: "SIGINT" | "SIGTERM" | "SIGKILL", whom?: "program" | "group") => void
}

/** Starts a program in a process group of its own; as another user where `uid` is given. */
export const start = (program: string, args: ReadonlyArray<string>, cwd: string, uid?: number): Program => {
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  const pid = child.pid!
  let [out, err] = ["", ""]
  const listeners = new Set<() => void>()
  const heard = () => {
    for (const listener of listeners) listener()
  }
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text
    heard()
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text
    heard()
  })
  const ended = new Promise<Ended>((resolve) => {
    child.on("close", (status, signal) => resolve({ status, signal, out, err }))
  })
  return {
    pid,
    ended,
    says: (text) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!out.includes(text) && !err.includes(text)) return
          listeners.delete(look)
          resolve()
        }
        listeners.add(look)
        look()
        ended.then(() => reject(new Error(`it ended and never said "${text}", but last: ${out.slice(-300)}\n${err}`)))
      }),
    signal: (signal, whom = "program") => process.kill(whom === "group" ? -pid : pid, signal),
  }
}

export const run = (program: string, args: ReadonlyArray<string>, cwd: string, uid?: number): Promise<Ended> =>
  start(program, args, cwd, uid).ended

/** Fields of /proc/PID/stat after the command's name: the state, and the parent. */
const statOf = (pid: string): ReadonlyArray<string> => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  } catch {
    return [] // it has just ended
  }
}

/** Every process that `pid` has started, and theirs, itself included; ended ones that nobody has waited for are not. */
export const familyOf = (pid: number): ReadonlyArray<number> => {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name))
  const parents = new Map(all.map((name) => [Number(name), Number(statOf(name)[1])]))
  const isKin = (one: number): boolean => one === pid || (one > 1 && isKin(parents.get(one) ?? 0))
  return [...parents.keys()].filter(isKin)
}

export const isAlive = (pid: number): boolean => {
  const [state] = statOf(String(pid))
  return state !== undefined && state !== "Z"
}

/** Waits until none of `pids` lives; the test's own limit ends it. */
export const allGone = async (pids: ReadonlyArray<number>): Promise<void> => {
  while (pids.some(isAlive)) await sleep(20)
}

type Row = Readonly<Record<string, string | number | bigint | null | Uint8Array>>

/** Asks the file itself, with another SQLite than the one that wrote it. */
export const query = (file: string, sql: string, ...values: ReadonlyArray<string>): ReadonlyArray<Row> => {
  const db = new DatabaseSync(file, { readOnly: true })
  try {
    return db.prepare(sql).all(...values)
  } finally {
    db.close()
  }
}
