/** The boundary between what goes wrong with a hub, a network or a disk and the one sentence that says what to do. */
import { HubApiError } from "@huggingface/hub"
import { Schema } from "effect"
import { oneLine } from "../inference/folder/modelFailure.ts"

/** It may go better in a moment, or when the command is run again; what has come stays. */
export class RetryablePullFailed extends Schema.TaggedError<RetryablePullFailed>()("RetryablePullFailed", {
  message: Schema.String,
}) {}

/** It cannot go better before somebody does what the message says. */
export class TerminalPullFailed extends Schema.TaggedError<TerminalPullFailed>()("TerminalPullFailed", {
  message: Schema.String,
}) {}

export type PullFailure = RetryablePullFailed | TerminalPullFailed

export interface HubAddress {
  /** `https://huggingface.co`, without a slash at its end. */
  readonly hub: string
  /** `owner/name`. */
  readonly repo: string
  /** A branch, a tag or a commit. */
  readonly revision: string
  readonly token: string | undefined
}

export const terminal = (message: string) => new TerminalPullFailed({ message })
export const retryable = (message: string) => new RetryablePullFailed({ message })

const TOO_MANY = 429

const refusedAccess = ({ hub, repo, token }: HubAddress, status: number): TerminalPullFailed =>
  status === 403
    ? terminal(
        `${hub} does not let ${token === undefined ? "strangers" : "this HF_TOKEN"} read ${repo} (403); accept its terms at ${hub}/${repo} and set HF_TOKEN to a token that may.`,
      )
    : token === undefined
      ? // The hub answers so for names that do not exist, too, so that nobody learns which do.
        terminal(`${hub} has no ${repo} that can be read without a token (401); check the name, or set HF_TOKEN.`)
      : terminal(`${hub} does not accept HF_TOKEN for ${repo} (401); make a new token, or unset it for a public model.`)

/** What an answer that is no success means. `what` is what was asked for, e.g. `config.json`; undefined for the model itself. */
export const fromStatus = (address: HubAddress, status: number, what?: string): PullFailure => {
  const { hub, repo, revision } = address
  if (status === 401 || status === 403) return refusedAccess(address, status)
  if (status === 404) {
    return what === undefined
      ? terminal(`${hub} has no model ${repo} with a revision ${revision} (404); check both names.`)
      : terminal(`${hub} lists ${what} in ${repo} and does not have it (404); try another revision.`)
  }
  if (status === TOO_MANY || status >= 500) return retryable(`${hub} answers ${status} for ${what ?? repo}.`)
  return terminal(`${hub} answers ${status} for ${what ?? repo}; check HF_ENDPOINT.`)
}

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined

/** The reason that fetch hides behind "fetch failed". */
const causeOf = (error: unknown): string => {
  const cause = error instanceof Error ? error.cause : undefined
  return codeOf(cause) ?? (cause instanceof Error && cause.message !== "" ? oneLine(cause) : oneLine(error))
}

const DISK: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full; make room",
  EDQUOT: "your quota of the disk is used up; make room",
  EROFS: "the disk cannot be written to; give another --to",
  EACCES: "you may not write there; give another --to",
  EPERM: "you may not write there; give another --to",
  EFBIG: "files may not be that large there; give another --to",
}

/** What a write that failed means. */
export const fromDisk = (path: string, error: unknown): TerminalPullFailed => {
  const known = DISK[codeOf(error) ?? ""]
  return terminal(
    known === undefined
      ? `${path} cannot be written: ${oneLine(error)}.`
      : `${path} cannot be written: ${known}, and run the same command again.`,
  )
}

/** What an exception of the hub's client or of fetch means. */
export const fromException = (address: HubAddress, error: unknown, what?: string): PullFailure => {
  if (error instanceof HubApiError) return fromStatus(address, error.statusCode, what)
  if (error instanceof SyntaxError || (error instanceof TypeError && error.cause === undefined)) {
    return terminal(`${address.hub} does not answer as a Hugging Face hub does (${oneLine(error)}); check HF_ENDPOINT.`)
  }
  return retryable(`${address.hub} cannot be reached (${causeOf(error)}).`)
}
