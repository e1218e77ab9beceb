/**
 * The boundary of the faults that a model's process can be told to have, beside slowness (`StepDelay`). For tests and demos.
 */
import type { Fault } from "./protocol.ts"

/** What `exhaustMemory` takes at most: a limit is to be met, not the machine's memory to be taken from everybody. */
const TAKEN_BYTES_MAX = 1024 * 1024 * 1024
const PIECE_BYTES = 16 * 1024 * 1024

const exhaustMemory = (): never => {
  const taken: Array<Uint8Array> = []
  while (taken.length * PIECE_BYTES < TAKEN_BYTES_MAX) taken.push(new Uint8Array(PIECE_BYTES).fill(1))
  throw new Error(`memory was not exhausted by ${taken.length} pieces of ${PIECE_BYTES} bytes`)
}

const exhaustHeap = (): never => {
  const taken: Array<ReadonlyArray<number>> = []
  for (;;) taken.push(Array.from({ length: 1000 }, (_, index) => index + 0.5))
}

export const sufferFault = (fault: Fault): void => {
  switch (fault) {
    case "abort":
      process.abort()
      break
    case "hang":
      // Blocks the thread, as a native call does, and costs the machine nothing.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
      break
    case "exhaustMemory":
      exhaustMemory()
      break
    case "exhaustHeap":
      exhaustHeap()
      break
  }
}
