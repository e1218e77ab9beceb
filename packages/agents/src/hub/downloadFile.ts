/**
 * The boundary to one file on a hub: fetched into a part file from where that ends, checked against the sum that the hub's
 * tree gave for it, and only then under its name.
 *
 * (`downloadFile` of @huggingface/hub reads ranges, too; it neither goes on where an earlier run was cut off nor checks
 * what came, and takes an answer to another range than it asked for.)
 */
import { mkdirSync, renameSync, rmSync, statSync } from "node:fs"
import { open } from "node:fs/promises"
import { dirname, join } from "node:path"
import { Effect } from "effect"
import { checksumOf } from "./checksum.ts"
import type { RepoFile } from "./chooseFiles.ts"
import {
  fromDisk,
  fromException,
  fromStatus,
  type HubAddress,
  type PullFailure,
  retryable,
  terminal,
} from "./pullFailure.ts"

export interface Download {
  readonly address: HubAddress
  readonly commit: string
  readonly file: RepoFile
  /** The folder that the file goes to, under its own path. */
  readonly to: string
  readonly fetch: typeof fetch
  /** Called with the bytes of this file that are here, now and then. */
  readonly onProgress: (bytes: number) => void
  /** How long to wait before the next try, after so many in a row that brought nothing, ms. */
  readonly waitMs: (failures: number) => number
}

/** Tries in a row that bring no byte; with `waitMs` half a minute, and then somebody should look. */
export const FRUITLESS_MAX = 5

/** Tries in all: a connection that drops every 10 MB still brings a gigabyte. */
export const TRIES_MAX = 100

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

const PARTIAL = 206
const RANGE_NOT_SATISFIABLE = 416

/** Where an answer begins: at the byte that was asked for, or at the first where a server knows no ranges. */
const beginningOf = (response: Response, wanted: number): number | undefined => {
  if (response.status !== PARTIAL) return 0
  const start = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1]
  return Number(start) === wanted ? wanted : undefined
}

const request = ({ address, commit, fetch: get, file }: Download, from: number, signal: AbortSignal) => {
  const path = file.path.split("/").map(encodeURIComponent).join("/")
  return get(`${address.hub}/${address.repo}/resolve/${commit}/${path}`, {
    signal,
    headers: {
      // Compressed bytes would be other bytes than those that are counted and summed.
      "accept-encoding": "identity",
      ...(from > 0 ? { range: `bytes=${from}-` } : {}),
      // fetch leaves it out when it is sent on to another host, as large files are.
      ...(address.token === undefined ? {} : { authorization: `Bearer ${address.token}` }),
    },
  })
}

/** Appends an answer's bytes to the part. Throws what the connection throws; a failed write comes as the failure that it is. */
const save = async (download: Download, response: Response, part: string, from: number): Promise<void> => {
  const { file, onProgress } = download
  const handle = await open(part, from === 0 ? "w" : "a")
  let bytes = from
  try {
    for await (const piece of response.body ?? []) {
      bytes += piece.length
      if (bytes > file.bytes) throw otherLength(download, bytes)
      await handle.writeFile(piece).catch((error) => Promise.reject(fromDisk(part, error)))
      onProgress(bytes)
    }
  } finally {
    await handle.close()
  }
}

const isFailure = (error: unknown): error is PullFailure =>
  error instanceof Error &&
  "_tag" in error &&
  (error._tag === "TerminalPullFailed" || error._tag === "RetryablePullFailed")

/** How long a file is that an answer is of; undefined where it does not say. */
const lengthOf = ({ headers, status }: Response): number | undefined => {
  const said =
    status === PARTIAL ? /\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1] : headers.get("content-length")
  return said === null || said === undefined ? undefined : Number(said)
}

/** What an answer that is no success means; where the part was too long it is thrown away. */
const failureOf = ({ address, file }: Download, status: number, part: string, from: number): PullFailure => {
  if (status !== RANGE_NOT_SATISFIABLE) return fromStatus(address, status, file.path)
  if (from < file.bytes) return otherLength({ address, file }, from)
  rmSync(part, { force: true })
  return retryable(`${address.hub} has no byte ${from} of ${file.path}.`)
}

const otherLength = ({ address, file }: Pick<Download, "address" | "file">, bytes: number): PullFailure =>
  terminal(`${file.path} has ${bytes} bytes and ${address.hub} lists ${file.bytes}; try again later.`)

/** What is wrong with an answer before its bytes are read. */
const mistakeIn = (download: Download, response: Response): PullFailure | undefined => {
  const { address, commit, file } = download
  const said = response.headers.get("x-repo-commit")
  if (said !== null && said !== commit) {
    return terminal(`${address.hub} gives ${file.path} of revision ${said} where ${commit} was asked for.`)
  }
  const bytes = lengthOf(response)
  return bytes === undefined || bytes === file.bytes ? undefined : otherLength(download, bytes)
}

/** One request, from where the part ends; fails where not all has come after it. */
const fetchRest = (download: Download, part: string): Effect.Effect<void, PullFailure> =>
  Effect.tryPromise({
    try: async (signal) => {
      const { address, file } = download
      const from = sizeOf(part)
      if (from === file.bytes && from > 0) return
      const response = await request(download, from, signal)
      const mistake = response.ok ? mistakeIn(download, response) : failureOf(download, response.status, part, from)
      const beginning = beginningOf(response, from)
      if (mistake !== undefined || beginning === undefined) {
        await response.body?.cancel()
        throw mistake ?? retryable(`${address.hub} answers with another part of ${file.path} than was asked for.`)
      }
      await save(download, response, part, beginning)
      const bytes = sizeOf(part)
      if (bytes < file.bytes)
        throw retryable(`The connection to ${address.hub} was cut at ${bytes} of ${file.bytes} bytes of ${file.path}.`)
    },
    catch: (error) => (isFailure(error) ? error : fromException(download.address, error, download.file.path)),
  })

/** Fetches until all is here, as long as tries bring something. */
const fetchAll = Effect.fnUntraced(function* (download: Download, part: string) {
  let fruitless = 0
  for (let tries = 1; ; tries++) {
    const before = sizeOf(part)
    const failure = yield* Effect.flip(fetchRest(download, part)).pipe(Effect.catch(() => Effect.undefined))
    if (failure === undefined) return
    if (failure._tag === "TerminalPullFailed") return yield* failure
    fruitless = sizeOf(part) > before ? 0 : fruitless + 1
    if (fruitless > FRUITLESS_MAX || tries >= TRIES_MAX) {
      return yield* retryable(`${failure.message} Run the same command again: it goes on at byte ${sizeOf(part)}.`)
    }
    yield* Effect.sleep(download.waitMs(fruitless))
  }
})

/** What the part comes to, where that is not what it should. */
const findWrongSum = ({ file }: Download, part: string): Effect.Effect<string | undefined, PullFailure> =>
  Effect.map(
    Effect.tryPromise({ try: () => checksumOf(part, file), catch: (error) => fromDisk(part, error) }),
    (hex) => (hex === file.checksum.hex ? undefined : hex),
  )

/**
 * Fetches one file to `to`, under its path. What is there under its name is taken for it and not looked at.
 *
 * @returns fails with `RetryablePullFailed` (the part stays, and the next call goes on) or `TerminalPullFailed`
 */
export const downloadFile = Effect.fnUntraced(function* (download: Download) {
  const { address, file, to } = download
  const path = join(to, file.path)
  if (sizeOf(path) === file.bytes && file.bytes > 0) return
  const part = `${path}.part`
  yield* Effect.try({
    try: () => mkdirSync(dirname(path), { recursive: true }),
    catch: (error) => fromDisk(path, error),
  })
  const isResumed = sizeOf(part) > 0
  yield* fetchAll(download, part)
  let wrong = yield* findWrongSum(download, part)
  if (wrong !== undefined && isResumed) {
    // Of an earlier run, or of another file: the whole of it deserves one try.
    rmSync(part, { force: true })
    yield* fetchAll(download, part)
    wrong = yield* findWrongSum(download, part)
  }
  if (wrong !== undefined) {
    rmSync(part, { force: true })
    const { hex, kind } = file.checksum
    return yield* terminal(
      `${file.path} is not what ${address.hub} lists: its ${kind} is ${wrong.slice(0, 12)}… and should be ${hex.slice(0, 12)}…; it is thrown away, run the same command again.`,
    )
  }
  yield* Effect.try({ try: () => renameSync(part, path), catch: (error) => fromDisk(path, error) })
})
