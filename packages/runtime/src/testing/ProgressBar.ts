/**
 * The boundary between a long run and whoever watches it: one line that grows on a terminal, a line now and then elsewhere.
 */

export interface Progress {
  readonly done: number
  readonly total: number
  readonly elapsedMs: number
}

const BAR_WIDTH = 30
/** Faster than this nobody can read, and a terminal over ssh would be flooded. */
const REDRAW_INTERVAL_MS = 100
/** Elsewhere than on a terminal (a CI log) a line at every tenth of the whole says enough. */
const PLAIN_STEPS = 10

const formatSeconds = (ms: number): string => {
  const seconds = Math.round(ms / 1000)
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

const rest = ({ done, elapsedMs, total }: Progress): string =>
  done >= total
    ? `in ${formatSeconds(elapsedMs)}`
    : done === 0
      ? ""
      : `${formatSeconds((elapsedMs / done) * (total - done))} left`

/** `[=====>      ] 120/1540 12 s left`; colour only where it is allowed. */
export const renderBar = (label: string, progress: Progress, color: boolean): string => {
  const share = progress.total === 0 ? 1 : Math.min(1, progress.done / progress.total)
  const filled = Math.round(share * BAR_WIDTH)
  const bar = "=".repeat(filled) + (filled < BAR_WIDTH ? ">" : "") + " ".repeat(Math.max(0, BAR_WIDTH - filled - 1))
  const painted = color ? `\x1b[36m${bar}\x1b[0m` : bar
  return `${label} [${painted}] ${progress.done}/${progress.total} ${rest(progress)}`.trimEnd()
}

export const renderPlain = (label: string, progress: Progress): string =>
  `${label} ${progress.done}/${progress.total} ${rest(progress)}`.trimEnd()

/** The part of a stream that is written to; `process.stderr` is one. */
export interface ProgressOutput {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly write: (text: string) => boolean
}

/** https://no-color.org: set and not empty, whatever it says. */
export const allowsColor = (output: ProgressOutput, env: Readonly<Record<string, string | undefined>>): boolean =>
  output.isTTY === true && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb"

export interface ProgressBar {
  /** Tells how many of the whole are done; draws at most ten times a second. */
  readonly advance: (done: number) => void
  /** Takes the bar off the terminal, where it is on it, for lines of somebody else's; the next `advance` draws it again. */
  readonly clear: () => void
  /** Draws the last state and ends the line. */
  readonly end: () => void
}

/**
 * Shows progress on a stream: use standard error, so that what a command prints can be piped.
 *
 * @param total of how many; 0 is done from the start
 * @param now milliseconds of any clock that does not step back
 */
export const makeProgressBar = (options: {
  readonly output: ProgressOutput
  readonly label: string
  readonly total: number
  readonly now: () => number
  readonly color: boolean
}): ProgressBar => {
  const { color, label, now, output, total } = options
  const startedAt = now()
  let done = 0
  let drawnAt = Number.NEGATIVE_INFINITY
  let isDrawn = false
  let plainStep = -1
  const progress = (): Progress => ({ done, total, elapsedMs: now() - startedAt })
  const draw = () => {
    drawnAt = now()
    isDrawn = true
    const line = renderBar(label, progress(), color)
    // A line that wraps cannot be taken back; colour codes take no column.
    const columns = output.columns ?? 80
    const shown = line.length - (color ? 9 : 0) < columns ? line : renderPlain(label, progress()).slice(0, columns - 1)
    output.write(`\r\x1b[K${shown}`)
  }
  const writePlain = (step: number) => {
    plainStep = step
    output.write(`${renderPlain(label, progress())}\n`)
  }
  const stepOf = () => (total === 0 ? PLAIN_STEPS : Math.floor((done / total) * PLAIN_STEPS))
  return {
    advance: (count) => {
      done = count
      if (output.isTTY !== true) {
        if (stepOf() > plainStep) writePlain(stepOf())
      } else if (now() - drawnAt >= REDRAW_INTERVAL_MS) draw()
    },
    clear: () => {
      // The line that the cursor is on is then the bar's own, and nobody else's.
      if (isDrawn) output.write("\r\x1b[K")
      isDrawn = false
      drawnAt = Number.NEGATIVE_INFINITY
    },
    end: () => {
      if (output.isTTY === true) {
        draw()
        output.write("\n")
      } else if (stepOf() > plainStep) writePlain(stepOf())
    },
  }
}

/** A bar on standard error, for a command. */
export const showProgress = (label: string, total: number): ProgressBar =>
  makeProgressBar({
    output: process.stderr,
    label,
    total,
    now: () => performance.now(),
    color: allowsColor(process.stderr, process.env),
  })
