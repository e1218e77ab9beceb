/**
 * The boundary to whoever ends the process: a signal closes what is open, within a bound, and then the process ends as it
 * would have without a listener. A second signal ends it at once; what is on disk is all that is needed.
 *
 * ```ts
 * const remove = closeOnSignals({ close: () => pontoon.close() })
 * ```
 *
 * It leaves the exit alone: where it is the only listener of the signal, it sends the signal to its own process again,
 * so that a parent sees the very end that it asked for; where others listen (a web framework's own, close-with-grace), the
 * process is theirs to end.
 */
import { constants } from "node:os"

export interface SignalOptions {
  /** The signals that close. Default SIGTERM, which orchestrators send, and SIGINT, which is Ctrl-C. */
  readonly signals?: ReadonlyArray<NodeJS.Signals>
  /**
   * How long closing may take before the process ends all the same, in milliseconds. Default 20,000, which is less than the
   * 30 s of Kubernetes; at least 0. Keep it above `drainMsMax` + 5,000: a system that drains bounds itself.
   */
  readonly closeMsMax?: number
  /** Ends the process with this code when it is closed, also where others listen. Default: the exit is left alone. */
  readonly exitCode?: number
}

/** What of a process is used, so that a test can stand in for it. */
export interface SignalProcess {
  readonly pid: number
  readonly on: (signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void) => unknown
  readonly off: (signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void) => unknown
  readonly listenerCount: (signal: NodeJS.Signals) => number
  readonly kill: (pid: number, signal: NodeJS.Signals) => unknown
  /** Seconds. */
  readonly uptime: () => number
  readonly exit: (code: number) => unknown
}

const CLOSE_MS_MAX = 20_000
/** Ctrl-C comes twice where a package manager forwards what the terminal has sent to the whole group already. */
const SAME_SIGNAL_MS = 250
/** What a shell says of a process that a signal ended. */
const SIGNAL_EXIT = 128

/** What cannot be listened to as it is written, in one sentence. */
const mistakeIn = ({ closeMsMax, exitCode, signals }: SignalOptions): string | undefined => {
  if (signals?.length === 0) return "signals is empty; name at least one, or leave it out for SIGTERM and SIGINT"
  const unknown = signals?.find((signal) => constants.signals[signal] === undefined)
  if (unknown !== undefined) return `there is no signal ${unknown}`
  const deaf = signals?.find((signal) => signal === "SIGKILL" || signal === "SIGSTOP")
  if (deaf !== undefined) return `${deaf} cannot be listened to by any process`
  if (closeMsMax !== undefined && !(Number.isSafeInteger(closeMsMax) && closeMsMax >= 0)) {
    return `closeMsMax must be a whole number, 0 or more, and is ${closeMsMax}`
  }
  if (exitCode !== undefined && !(Number.isSafeInteger(exitCode) && exitCode >= 0 && exitCode <= 255)) {
    return `exitCode must be a whole number from 0 to 255, and is ${exitCode}`
  }
  return undefined
}

/** Throws where the options make no sense. */
export const checkSignalOptions = (options: SignalOptions): void => {
  const mistake = mistakeIn(options)
  if (mistake !== undefined) throw new Error(`Signals cannot be waited for: ${mistake}.`)
}

/**
 * Closes on the first signal, and ends the process when that is done, or takes longer than `closeMsMax`.
 *
 * @param close called once; what it rejects with is the caller's to report, and does not keep the process
 * @returns takes the listeners away; to be called when what would be closed is closed otherwise
 * @throws Error where the options make no sense
 */
export const closeOnSignals = (
  { close, ...options }: SignalOptions & { readonly close: () => Promise<void> },
  host: SignalProcess = process,
): (() => void) => {
  checkSignalOptions(options)
  const { closeMsMax = CLOSE_MS_MAX, exitCode, signals = ["SIGTERM", "SIGINT"] } = options
  let closingSinceMs: number | undefined
  const nowMs = () => host.uptime() * 1_000
  const remove = () => {
    for (const signal of signals) host.off(signal, hear)
  }
  /** @param now whether it cannot wait for other listeners */
  const leave = (signal: NodeJS.Signals, now: boolean) => {
    remove()
    if (exitCode !== undefined && !now) host.exit(exitCode)
    else if (host.listenerCount(signal) === 0) host.kill(host.pid, signal)
    else if (now) host.exit(SIGNAL_EXIT + constants.signals[signal])
  }
  const hear = (signal: NodeJS.Signals) => {
    if (closingSinceMs !== undefined) {
      if (nowMs() - closingSinceMs > SAME_SIGNAL_MS) leave(signal, true)
      return
    }
    closingSinceMs = nowMs()
    const timer = setTimeout(() => leave(signal, true), closeMsMax)
    const done = () => {
      clearTimeout(timer)
      leave(signal, false)
    }
    close().then(done, done)
  }
  for (const signal of signals) host.on(signal, hear)
  return remove
}
