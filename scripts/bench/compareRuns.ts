/** The boundary between measuring and judging: runs both sides of a case in turn, and folds the rounds into rows. */
import type { BenchCase, BenchRow, Measurements } from "./Bench.ts"

/** Fewer than three rounds have no median worth the name. */
export const ROUNDS_MIN = 3

export interface Round {
  readonly ours: Measurements
  readonly theirs: Measurements
}

/** The middle value; the mean of the two middle ones where their number is even. */
export const median = (values: ReadonlyArray<number>): number => {
  if (values.length === 0) throw new RangeError("the median of no values")
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/**
 * Runs ours and the peer alternately, one after the other and never at once; who goes first changes with every round,
 * so that neither always gets the warmer machine.
 *
 * @param rounds at least `ROUNDS_MIN`
 */
export const runRounds = async (
  benchCase: BenchCase,
  rounds: number,
  onRound: (round: number) => void = () => {},
): Promise<ReadonlyArray<Round>> => {
  if (!Number.isInteger(rounds) || rounds < ROUNDS_MIN) {
    throw new RangeError(`rounds must be a whole number, ${ROUNDS_MIN} or more; it is ${rounds}`)
  }
  const done: Array<Round> = []
  for (let round = 0; round < rounds; round++) {
    onRound(round)
    if (round % 2 === 0) {
      const ours = await benchCase.runOurs()
      done.push({ ours, theirs: await benchCase.runPeer() })
    } else {
      const theirs = await benchCase.runPeer()
      done.push({ ours: await benchCase.runOurs(), theirs })
    }
  }
  return done
}

const valueOf = (where: string, side: string, measured: Measurements, metric: string): number => {
  const value = measured[metric]
  if (value === undefined) throw new Error(`${where}: ${side} did not measure "${metric}", which the other side did`)
  if (!Number.isFinite(value) || value < 0) throw new Error(`${where}: ${side} measured "${metric}" as ${value}`)
  return value
}

/**
 * Folds rounds into one row a metric. The ratio is the median of each round's own ratio and not the ratio of the
 * medians: a machine that slows down between two rounds slows both sides of a round alike.
 */
export const compareRuns = (
  bench: string,
  benchCase: Pick<BenchCase, "name" | "peer">,
  rounds: ReadonlyArray<Round>,
): ReadonlyArray<BenchRow> => {
  const where = `${bench}, ${benchCase.name}`
  const metrics = new Set(rounds.flatMap((round) => [...Object.keys(round.ours), ...Object.keys(round.theirs)]))
  if (metrics.size === 0) throw new Error(`${where}: nothing was measured`)
  return [...metrics].map((metric) => {
    const ours = rounds.map((round) => valueOf(where, "ours", round.ours, metric))
    const theirs = rounds.map((round) => valueOf(where, benchCase.peer, round.theirs, metric))
    return {
      bench,
      case: benchCase.name,
      metric,
      ours: median(ours),
      peer: benchCase.peer,
      theirs: median(theirs),
      ratio: median(ours.map((value, round) => value / theirs[round]!)),
      runs: rounds.length,
    }
  })
}
