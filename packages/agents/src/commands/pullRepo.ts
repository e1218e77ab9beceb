/** `pontoon-models pull`: a model from a Hugging Face hub, with a bar for those who watch and a line a file for others. */
import { join } from "node:path"
import { Effect } from "effect"
import { type PullProgress, pullModel } from "../hub/pullModel.ts"
import type { Dtype } from "../inference/folder/modelFolder.ts"
import { formatBytes, type Output } from "./Output.ts"

export interface PullCommandOptions {
  readonly repo: string
  readonly revision: string
  readonly dtype: Dtype
  /** Default `models/OWNER/NAME`, where transformers.js looks for `OWNER/NAME` below `models/`. */
  readonly to: string | undefined
  readonly isJson: boolean
  readonly environment: Readonly<Record<string, string | undefined>>
}

const HUB = "https://huggingface.co"

/** Half a second, doubled with each try that brought nothing, to 8 seconds: 15 seconds in all. */
const WAIT_MS = 500
const WAIT_MS_MAX = 8000
const waitMs = (failures: number): number => Math.min(WAIT_MS_MAX, WAIT_MS * 2 ** Math.max(0, failures - 1))

const BAR_WIDTH = 30

/** `[###...........................]  10 %  1.00 MB of 10.0 MB  onnx/model.onnx` */
export const formatBar = ({ bytes, bytesMax, file }: PullProgress): string => {
  const share = bytesMax === 0 ? 1 : Math.min(1, bytes / bytesMax)
  const filled = Math.floor(share * BAR_WIDTH)
  const bar = `[${"#".repeat(filled)}${".".repeat(BAR_WIDTH - filled)}]`
  return `${bar} ${String(Math.floor(share * 100)).padStart(3)} %  ${formatBytes(bytes)} of ${formatBytes(bytesMax)}  ${file}`
}

/** What of the environment speaks to a hub, by the names that its own tools use. */
const addressOf = ({ environment, repo, revision }: PullCommandOptions) => ({
  hub: (environment.HF_ENDPOINT || HUB).replace(/\/+$/, ""),
  repo,
  revision,
  token: environment.HF_TOKEN || undefined,
})

const isSet = (value: string | undefined): boolean => ["1", "true", "yes", "on"].includes((value ?? "").toLowerCase())

const progressOn = (output: Output) => {
  let lines = ""
  return (progress: PullProgress): void => {
    output.progress(formatBar(progress))
    if (output.isWatched) return
    const line = `${progress.file}  ${formatBytes(progress.fileBytesMax)}`
    if (progress.fileBytes < progress.fileBytesMax || line === lines) return
    lines = line
    Effect.runSync(output.remark(line))
  }
}

export const pullRepo = Effect.fnUntraced(function* (output: Output, options: PullCommandOptions) {
  const report = yield* pullModel({
    address: addressOf(options),
    dtype: options.dtype,
    to: options.to ?? join("models", ...options.repo.split("/")),
    isOffline: isSet(options.environment.HF_HUB_OFFLINE),
    fetch,
    waitMs,
    onProgress: progressOn(output),
  })
  output.progress("")
  if (options.isJson) return yield* output.print([JSON.stringify(report)])
  const { commit, dtype, files, folder, isNew, others, unasked } = report
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  const what = `${options.repo} at ${commit.slice(0, 12)}, ${dtype}, ${files.length} files, ${formatBytes(bytes)}`
  const other = others.length === 0 ? "" : ` Other dtypes: ${others.map((each) => each.dtype).join(", ")}.`
  yield* output.print([
    isNew
      ? `${folder} has ${what}.${other}`
      : `${folder} is up to date: ${what}${unasked === undefined ? "" : ` (${unasked})`}.`,
  ])
})
