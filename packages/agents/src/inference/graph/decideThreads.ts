/**
 * The boundary between the size of a model and the threads that its steps are worth.
 *
 * One thread for small weights: their operators are so short that handing them out costs more than it saves, and the threads
 * wait for each other by spinning, which takes the cores from everything else on the machine.
 */
import { readdirSync, statSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import type { Threads } from "../../engine/protocol.ts"

/**
 * Weights from here on are worth several threads. Measured on two cores: 10 MB (2.5M parameters) lose with the second,
 * 110 MB (27M) gain 1.6 times.
 */
const SEVERAL_BYTES_MIN = 32 * 1024 * 1024

/** Bytes of the weights file and of the data beside it, which has its name and something behind it. */
export const weightsBytes = (weightsPath: string): number => {
  const folder = dirname(weightsPath)
  const files = readdirSync(folder).filter((file) => file.startsWith(basename(weightsPath)))
  return files.reduce((bytes, file) => bytes + statSync(join(folder, file)).size, 0)
}

/** @param bytes of the weights */
export const decideThreads = (threads: Threads, bytes: number): number => {
  if (typeof threads === "number") return threads
  return bytes < SEVERAL_BYTES_MIN ? 1 : threads.autoUpTo
}
