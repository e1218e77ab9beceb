/**
 * The boundary to a folder that takes in what no longer fits into memory: beginnings that a model has read come back from it
 * when they are asked for again, also in another process.
 *
 * Nothing depends on it. A write that fails, as on a full disk, is counted and forgotten; a file that is damaged or of other
 * weights is removed; what cannot be read back is read by the model again. Files hold what was said, so only their owner may
 * read them.
 */
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, rmSync, statSync } from "node:fs"
import { open, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import { joinSegments, type KvShape, segmentBytes, sliceSegment } from "./KvSegment.ts"
import type { PrefixSpill } from "./PrefixCache.ts"
import type { Path } from "./PrefixTree.ts"
import {
  decodeSpill,
  encodeSpill,
  HEADER_FROM,
  headerEnd,
  readHeader,
  type SpillIdentity,
  spillName,
} from "./spillFile.ts"

/** Bytes on their way to the disk, which are in memory until they are there: more, and the disk is too slow for us. */
const PENDING_BYTES_MAX = 64 * 1024 * 1024
/** A search compares with every file, and a start reads every header. */
const FILES_MAX = 4096
/** Fewer tokens than this are read again: a guess at what a file costs to open, not measured. */
const GAIN_TOKENS_MIN = 32

const FILE = /^[0-9a-f]{64}\.kv$/
const UNFINISHED = /^[0-9a-f]{64}\.kv\.(\d+)$/

export interface SpillFolderOptions extends SpillIdentity {
  readonly folder: string
  /** Bytes that all files may take together. */
  readonly bytesMax: number
  readonly shapes: ReadonlyArray<KvShape>
  /** Beginnings are whole blocks of so many tokens; see `TreeLimits`. */
  readonly blockTokens: number
  /** Writes a whole new file, for its owner's eyes only. */
  readonly write?: (file: string, pieces: ReadonlyArray<Uint8Array>) => Promise<void>
}

export interface SpillCounters {
  readonly spilledConversations: number
  readonly spilledBytes: number
  /** Beginnings that were not spilled because a write failed or too many were under way, and files found damaged. */
  readonly spillFailures: number
}

interface Entry {
  readonly tokenIds: ReadonlyArray<number>
  readonly bytes: number
  /** What is to be in the file, while it is being written. */
  pending: Path | undefined
}

const commonPrefix = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  let length = 0
  while (length < a.length && length < b.length && a[length] === b[length]) length++
  return length
}

const writeNew = async (file: string, pieces: ReadonlyArray<Uint8Array>): Promise<void> => {
  const handle = await open(file, "wx", 0o600)
  try {
    for (const piece of pieces) await handle.writeFile(piece)
  } finally {
    await handle.close()
  }
}

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

export class SpillFolder implements PrefixSpill {
  readonly #options: SpillFolderOptions
  /** By file name, in order of use: the first is the one to go. */
  readonly #entries = new Map<string, Entry>()
  #bytes = 0
  #pendingBytes = 0
  #failures = 0
  #writing: Promise<void> = Promise.resolve()

  /** Opens the folder, made where it is missing; throws where it cannot be used. */
  constructor(options: SpillFolderOptions) {
    this.#options = options
    mkdirSync(options.folder, { recursive: true, mode: 0o700 })
    const found = readdirSync(options.folder).flatMap((name) => this.#find(name))
    for (const { bytes, name, tokenIds } of found.sort((a, b) => a.usedMs - b.usedMs)) {
      this.#entries.set(name, { tokenIds, bytes, pending: undefined })
      this.#bytes += bytes
    }
    this.#makeRoom(0)
  }

  counters(): SpillCounters {
    return { spilledConversations: this.#entries.size, spilledBytes: this.#bytes, spillFailures: this.#failures }
  }

  /** When all files that are under way have been written. */
  settled(): Promise<void> {
    return this.#writing
  }

  keep(path: Path): void {
    const { tokenIds } = path
    if (tokenIds.length < GAIN_TOKENS_MIN) return
    for (const entry of this.#entries.values()) if (commonPrefix(entry.tokenIds, tokenIds) === tokenIds.length) return
    // Headers are counted too, at some bytes a token.
    const bytes = path.segments.reduce((sum, segment) => sum + segmentBytes(segment), 0) + 8 * tokenIds.length + 256
    if (bytes > this.#options.bytesMax) return
    if (this.#pendingBytes + bytes > PENDING_BYTES_MAX) {
      this.#failures++
      return
    }
    this.#makeRoom(bytes)
    const name = spillName(this.#options, tokenIds)
    const entry: Entry = { tokenIds, bytes, pending: path }
    this.#entries.set(name, entry)
    this.#bytes += bytes
    this.#pendingBytes += bytes
    // One after the other: a disk that is slow is not asked for more at once.
    this.#writing = this.#writing.then(() => this.#write(name, entry, path))
  }

  recall(tokenIds: ReadonlyArray<number>, tokensMin: number, tokensMax: number): Path | undefined {
    const { blockTokens } = this.#options
    let best: string | undefined
    let most = tokensMin + GAIN_TOKENS_MIN - 1
    for (const [name, entry] of this.#entries) {
      const common = Math.min(commonPrefix(entry.tokenIds, tokenIds), tokensMax)
      const length = Math.floor(common / blockTokens) * blockTokens
      if (length <= most) continue
      most = length
      best = name
    }
    const path = best === undefined ? undefined : this.#read(best)
    const segment = path === undefined ? undefined : joinSegments(path.segments)
    if (path === undefined || segment === undefined) return undefined
    return { tokenIds: path.tokenIds.slice(0, most), segments: [sliceSegment(segment, 0, most)] }
  }

  /** A file that was here before; what is not ours to read is removed, what is not ours at all is left alone. */
  #find(name: string) {
    const file = join(this.#options.folder, name)
    const [, writer] = UNFINISHED.exec(name) ?? []
    if (writer !== undefined && !isRunning(Number(writer))) rmSync(file, { force: true })
    if (!FILE.test(name)) return []
    try {
      const { mtimeMs: usedMs, size: bytes } = statSync(file)
      const tokenIds = this.#readHeader(file)
      if (tokenIds !== undefined) return [{ name, tokenIds, bytes, usedMs }]
    } catch {
      // It has gone, or cannot be read: removed below, as far as that can be done.
    }
    this.#failures++
    rmSync(file, { force: true })
    return []
  }

  #readHeader(file: string): ReadonlyArray<number> | undefined {
    const handle = openSync(file, "r")
    try {
      const head = Buffer.alloc(HEADER_FROM)
      readSync(handle, head, 0, HEADER_FROM, 0)
      const end = headerEnd(head)
      if (end === undefined || end > statSync(file).size) return undefined
      const header = Buffer.alloc(end - HEADER_FROM)
      readSync(handle, header, 0, header.length, HEADER_FROM)
      return readHeader(this.#options, header)
    } finally {
      closeSync(handle)
    }
  }

  #makeRoom(bytes: number): void {
    for (const name of this.#entries.keys()) {
      if (this.#bytes + bytes <= this.#options.bytesMax && this.#entries.size < FILES_MAX) return
      this.#remove(name)
    }
  }

  #remove(name: string): void {
    const entry = this.#entries.get(name)
    if (entry === undefined) return
    this.#entries.delete(name)
    this.#bytes -= entry.bytes
    rmSync(join(this.#options.folder, name), { force: true })
  }

  async #write(name: string, entry: Entry, path: Path): Promise<void> {
    const { folder, write = writeNew } = this.#options
    const file = join(folder, name)
    const unfinished = `${file}.${process.pid}`
    try {
      const pieces = encodeSpill(this.#options, path)
      if (pieces !== undefined && this.#entries.get(name) === entry) {
        await write(unfinished, pieces)
        await rename(unfinished, file)
      }
      entry.pending = undefined
      // Removed while it was being written.
      if (this.#entries.get(name) !== entry) await rm(file, { force: true })
      else this.#removeBeginningsOf(entry)
    } catch {
      this.#failures++
      if (this.#entries.get(name) === entry) this.#remove(name)
      await rm(unfinished, { force: true }).catch(() => {})
    }
    this.#pendingBytes -= entry.bytes
  }

  /** A conversation's next turn holds all that its last one held. */
  #removeBeginningsOf({ tokenIds }: Entry): void {
    for (const [name, other] of this.#entries) {
      const { length } = other.tokenIds
      if (length < tokenIds.length && commonPrefix(other.tokenIds, tokenIds) === length) this.#remove(name)
    }
  }

  #read(name: string): Path | undefined {
    const entry = this.#entries.get(name)
    if (entry === undefined) return undefined
    this.#entries.delete(name)
    this.#entries.set(name, entry)
    if (entry.pending !== undefined) return entry.pending
    try {
      const file = readFileSync(join(this.#options.folder, name))
      const path = decodeSpill(this.#options, this.#options.shapes, file)
      if (path !== undefined) return path
    } catch {
      // Another process has removed it, or the disk fails: read the tokens again.
    }
    this.#failures++
    this.#remove(name)
    return undefined
  }
}
