/**
 * The boundary between a repository on a Hugging Face hub and a model folder that is complete: what is fetched lies in a
 * folder of its own within it until all of it is here and checked, and then takes its place.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { listFiles, modelInfo } from "@huggingface/hub"
import { Effect, Option } from "effect"
import { MOVING, STAGING } from "../inference/folder/unfinishedPull.ts"
import type { Dtype } from "../inference/folder/weightFiles.ts"
import { hasChecksum } from "./checksum.ts"
import { type ChosenFiles, chooseFiles, type RepoFile } from "./chooseFiles.ts"
import { downloadFile } from "./downloadFile.ts"
import { fromDisk, fromException, type HubAddress, type PullFailure, retryable, terminal } from "./pullFailure.ts"
import { isWhole, type Manifest, readManifest, writeManifest } from "./pullManifest.ts"

export interface PullProgress {
  readonly file: string
  readonly fileBytes: number
  readonly fileBytesMax: number
  /** Of all files of this pull, those that were here included. */
  readonly bytes: number
  readonly bytesMax: number
}

export interface PullOptions {
  readonly address: HubAddress
  readonly dtype: Dtype
  readonly to: string
  /** No request is made (HF_HUB_OFFLINE). */
  readonly isOffline: boolean
  readonly fetch: typeof fetch
  readonly waitMs: (failures: number) => number
  readonly onProgress: (progress: PullProgress) => void
}

export interface PullReport {
  readonly folder: string
  readonly commit: string
  readonly dtype: Dtype
  /** Whether something was fetched. */
  readonly isNew: boolean
  /** Why nothing was asked of the hub, or that it did not answer; undefined where it said what is new. */
  readonly unasked: string | undefined
  readonly files: ReadonlyArray<RepoFile>
  readonly others: ChosenFiles["others"]
}

const COMMIT = /^[0-9a-f]{40}$/
const REPO = /^[\w.-]+\/[\w.-]+$/

/** More is no model, but a hub that lists for ever. */
const LISTED_MAX = 10_000

/** What is in the folder belongs to somebody else. */
const mistakeIn = ({ address, to }: PullOptions, manifest: Manifest | undefined): string | undefined => {
  const { repo, token } = address
  if (token !== undefined && !token.startsWith("hf_"))
    return "HF_TOKEN is no token of a hub, which begin with hf_; unset it, or make one."
  if (!REPO.test(repo)) return `"${repo}" is no model of a hub; give it as owner/name.`
  if (manifest !== undefined && manifest.repo !== repo) {
    return `${to} holds another model, ${manifest.repo}; give another folder with --to.`
  }
  const stat = statSync(to, { throwIfNoEntry: false })
  if (stat === undefined || existsSync(join(to, STAGING)) || manifest !== undefined) return undefined
  if (!stat.isDirectory()) return `${to} is a file; give a folder with --to.`
  return readdirSync(to).length > 0
    ? `${to} is there already and was not pulled from a hub; give another folder with --to.`
    : undefined
}

/** Tries of a question that costs nothing. */
const QUESTIONS_MAX = 3

const patiently = <A>(
  question: Effect.Effect<A, PullFailure>,
  waitMs: PullOptions["waitMs"],
  tries = 1,
): Effect.Effect<A, PullFailure> =>
  Effect.catchTag(question, "RetryablePullFailed", ({ message }) =>
    tries < QUESTIONS_MAX
      ? Effect.andThen(Effect.sleep(waitMs(tries)), patiently(question, waitMs, tries + 1))
      : Effect.fail(retryable(`${message} Run the same command again.`)),
  )

const askCommit = ({ address, fetch: get }: PullOptions): Effect.Effect<string, PullFailure> =>
  Effect.tryPromise({
    try: (signal) =>
      modelInfo({
        name: address.repo,
        revision: address.revision,
        hubUrl: address.hub,
        additionalFields: ["sha"],
        fetch: (input, init) => get(input, { ...init, signal }),
        ...(address.token === undefined ? {} : { accessToken: address.token }),
      }),
    catch: (error) => fromException(address, error),
  }).pipe(
    Effect.flatMap(({ sha }) =>
      typeof sha === "string" && COMMIT.test(sha)
        ? Effect.succeed(sha)
        : Effect.fail(
            terminal(
              `${address.hub} does not say which commit ${address.revision} of ${address.repo} is; check HF_ENDPOINT.`,
            ),
          ),
    ),
  )

const listRepo = (
  { address, fetch: get }: PullOptions,
  commit: string,
): Effect.Effect<ReadonlyArray<RepoFile>, PullFailure> =>
  Effect.tryPromise({
    try: async (signal) => {
      const files: Array<RepoFile> = []
      const listing = listFiles({
        repo: address.repo,
        revision: commit,
        recursive: true,
        hubUrl: address.hub,
        fetch: (input, init) => get(input, { ...init, signal }),
        ...(address.token === undefined ? {} : { accessToken: address.token }),
      })
      for await (const { lfs, oid, path, size, type } of listing) {
        const hex = lfs?.oid ?? oid
        if (type !== "file" || hex === undefined) continue
        files.push({
          path,
          bytes: lfs?.size ?? size,
          checksum: { kind: lfs === undefined ? "git-sha1" : "sha256", hex },
        })
        if (files.length >= LISTED_MAX) break
      }
      return files
    },
    catch: (error) => fromException(address, error),
  })

const haveOf = (folder: string, file: RepoFile): number => {
  const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size
  const path = join(folder, file.path)
  return sizeOf(path) ?? sizeOf(`${path}.part`) ?? 0
}

const checkRoom = (to: string, staging: string, files: ReadonlyArray<RepoFile>) =>
  Effect.suspend(() => {
    const wanted = files.reduce((sum, file) => sum + Math.max(0, file.bytes - haveOf(staging, file)), 0)
    const { bavail, bsize } = statfsSync(staging)
    const free = bavail * bsize
    return wanted <= free
      ? Effect.void
      : Effect.fail(
          terminal(
            `${to} lies on a disk with ${free} bytes free and ${wanted} are needed; make room, or give another --to.`,
          ),
        )
  })

/** Fetches all files into the staging folder. */
const fetchFiles = Effect.fnUntraced(function* (
  options: PullOptions,
  staging: string,
  commit: string,
  files: ReadonlyArray<RepoFile>,
) {
  yield* Effect.try({
    try: () => mkdirSync(staging, { recursive: true }),
    catch: (error) => fromDisk(options.to, error),
  })
  yield* checkRoom(options.to, staging, files)
  const bytesMax = files.reduce((sum, { bytes }) => sum + bytes, 0)
  let before = 0
  for (const file of files) {
    const tell = (fileBytes: number) =>
      options.onProgress({ file: file.path, fileBytes, fileBytesMax: file.bytes, bytes: before + fileBytes, bytesMax })
    yield* downloadFile({ ...options, commit, file, to: staging, onProgress: tell })
    tell(file.bytes)
    before += file.bytes
  }
})

/** Configuration last: until it is there a folder is no model. */
const inOrder = (files: ReadonlyArray<RepoFile>) => [...files].sort((a, b) => b.bytes - a.bytes)

/** Puts everything in its place; a folder that this is cut off in says so. */
const place = (to: string, staging: string, manifest: Manifest) =>
  Effect.try({
    try: () => {
      writeFileSync(join(to, STAGING, MOVING), "")
      for (const { path } of inOrder(manifest.files)) {
        const staged = join(staging, path)
        if (!existsSync(staged)) continue
        mkdirSync(dirname(join(to, path)), { recursive: true })
        renameSync(staged, join(to, path))
      }
      writeManifest(to, manifest)
      rmSync(join(to, STAGING), { recursive: true, force: true })
    },
    catch: (error) => fromDisk(to, error),
  })

/** What is here already, where that is all that was asked for. */
const here = (manifest: Manifest | undefined, { dtype, to }: PullOptions): Manifest | undefined => {
  const isAll = manifest !== undefined && !existsSync(join(to, STAGING)) && isWhole(to, manifest)
  return isAll && (dtype === "auto" || manifest.dtypes.includes(dtype)) ? manifest : undefined
}

const unchanged = (manifest: Manifest, { dtype, to }: PullOptions, unasked: string | undefined): PullReport => ({
  folder: to,
  commit: manifest.commit,
  dtype: dtype === "auto" ? (manifest.dtypes[0] ?? dtype) : dtype,
  isNew: false,
  unasked,
  files: manifest.files,
  others: [],
})

/** Which commit is meant; undefined where what is here has to do. */
const findCommit = Effect.fnUntraced(function* (options: PullOptions, complete: Manifest | undefined) {
  const { address, isOffline } = options
  if (COMMIT.test(address.revision) && !isOffline)
    return { commit: address.revision, unasked: "a commit does not change" }
  if (isOffline) {
    const isMeant = complete !== undefined && (!COMMIT.test(address.revision) || complete.commit === address.revision)
    return isMeant
      ? { commit: complete.commit, unasked: "HF_HUB_OFFLINE is set" }
      : yield* terminal(
          `${options.to} does not have ${address.repo} at ${address.revision}, and HF_HUB_OFFLINE is set; unset it to fetch.`,
        )
  }
  const asked = Effect.map(patiently(askCommit(options), options.waitMs), (commit) => ({ commit, unasked: undefined }))
  if (complete === undefined || complete.revision !== address.revision) return yield* asked
  return yield* Effect.catchTag(asked, "RetryablePullFailed", ({ message }) =>
    Effect.succeed({ commit: complete.commit, unasked: message.replace(/\. .*$/, "") }),
  )
})

/** The files of what is asked for, and of the variants that are here and would be of another revision. */
const chooseAll = Effect.fnUntraced(function* (options: PullOptions, commit: string, manifest: Manifest | undefined) {
  const { address, dtype } = options
  const listed = yield* patiently(listRepo(options, commit), options.waitMs)
  const chosen = yield* Effect.fromResult(chooseFiles(listed, dtype, address.repo))
  const others = (manifest?.dtypes ?? []).filter((each) => each !== chosen.dtype)
  const files = new Map(chosen.files.map((file) => [file.path, file]))
  const dtypes: Array<Dtype> = [chosen.dtype]
  for (const other of others) {
    const more = Option.getOrUndefined(Option.getSuccess(chooseFiles(listed, other, address.repo)))
    if (more === undefined) continue
    dtypes.push(other)
    for (const file of more.files) files.set(file.path, file)
  }
  return { chosen, dtypes, files: [...files.values()] }
})

/** What has to be fetched: all but what is here and of the same bytes, which where a pull was cut off only a look at them says. */
const findLacking = Effect.fnUntraced(function* (
  { to }: PullOptions,
  manifest: Manifest | undefined,
  files: ReadonlyArray<RepoFile>,
) {
  const isCutOff = existsSync(join(to, STAGING, MOVING))
  const lacking: Array<RepoFile> = []
  for (const file of files) {
    const path = join(to, file.path)
    const isSized = statSync(path, { throwIfNoEntry: false })?.size === file.bytes
    const isKnown = manifest?.files.some(
      ({ checksum, path }) => path === file.path && checksum.hex === file.checksum.hex,
    )
    const isHere = isSized && ((isKnown && !isCutOff) || (isCutOff && (yield* isFile(path, file))))
    if (!isHere) lacking.push(file)
  }
  return lacking
})

const isFile = (path: string, file: RepoFile) =>
  Effect.tryPromise({ try: () => hasChecksum(path, file), catch: (error) => fromDisk(path, error) })

/**
 * Fetches a model, or what is new of it.
 *
 * @returns fails with `RetryablePullFailed` (run it again, it goes on) or `TerminalPullFailed`
 */
export const pullModel = Effect.fnUntraced(function* (options: PullOptions) {
  const { address, to } = options
  const manifest = readManifest(to)
  const mistake = mistakeIn(options, manifest)
  if (mistake !== undefined) return yield* terminal(mistake)
  const complete = here(manifest, options)
  const { commit, unasked } = yield* findCommit(options, complete)
  if (complete?.commit === commit) return unchanged(complete, options, unasked)
  const { chosen, dtypes, files } = yield* chooseAll(options, commit, manifest)
  const staging = join(to, STAGING, commit)
  yield* fetchFiles(options, staging, commit, yield* findLacking(options, manifest, files))
  yield* place(to, staging, { hub: address.hub, repo: address.repo, revision: address.revision, commit, dtypes, files })
  return {
    ...{ folder: to, commit, dtype: chosen.dtype, isNew: true, unasked: undefined },
    files,
    others: chosen.others,
  } satisfies PullReport
})
