/**
 * The boundary to the operating system's own view of engines: the processes that this one has started and that are still
 * there, whatever anybody believes of them.
 */
import { readdirSync, readFileSync } from "node:fs"

const readOr = (file: string): string => {
  try {
    return readFileSync(file, "latin1")
  } catch {
    return "" // it has ended meanwhile
  }
}

/** The fields of /proc/PID/stat after the command's name, which may hold spaces and brackets: state, parent, ... */
const statOf = (pid: number): ReadonlyArray<string> => readOr(`/proc/${pid}/stat`).split(") ").at(-1)?.split(" ") ?? []

/** Their ids, zombies left out; Linux only. */
export const engineChildren = (): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const [state, parent] = statOf(pid)
      return parent === String(process.pid) && state !== "Z" && readOr(`/proc/${pid}/cmdline`).includes("engineWorker")
    })
