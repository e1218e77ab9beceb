/**
 * The boundary between a plan of a file made of another one, and its bytes: every byte is read once, to where it stays. (To
 * read the whole and then put it together took 170 ms of the load of 92 MB, as much as to open it.)
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs"
import type { Range } from "./readOnnx.ts"

/**
 * Makes a file in memory.
 *
 * @param path where ranges are read from
 * @param pieces new bytes, and ranges of the file; an end past the file's is its end
 */
export const readPatched = (path: string, pieces: ReadonlyArray<Uint8Array | Range>): Uint8Array => {
  const file = openSync(path, "r")
  try {
    const { size } = fstatSync(file)
    const lengthOf = (piece: Uint8Array | Range) =>
      piece instanceof Uint8Array ? piece.length : Math.min(piece.end, size) - piece.start
    const whole = Buffer.allocUnsafe(pieces.reduce((sum, piece) => sum + lengthOf(piece), 0))
    let at = 0
    for (const piece of pieces) {
      const end = at + lengthOf(piece)
      if (piece instanceof Uint8Array) whole.set(piece, at)
      else if (readAt(file, whole.subarray(at, end), piece.start) < end - at) {
        throw new RangeError(`${path} became shorter while it was read`)
      }
      at = end
    }
    return whole
  } finally {
    closeSync(file)
  }
}

/** One call reads at most 2 GiB, and may read less than it is asked for. */
const readAt = (file: number, into: Uint8Array, position: number): number => {
  let read = 0
  while (read < into.length) {
    const count = readSync(file, into, read, Math.min(into.length - read, 1 << 30), position + read)
    if (count === 0) break
    read += count
  }
  return read
}
