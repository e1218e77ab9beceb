/** The boundary between predictions and figures: counts what was right, by class and as a whole; pure. */

/** One row's label in the file, and what was predicted for it. */
export interface LabelPair {
  readonly actual: string
  readonly predicted: string
}

/** All from 0 to 1; 0 where the figure would divide by zero (a class that was never predicted, or never there). */
export interface Scores {
  /** Of what was given this label, the share that bears it. */
  readonly precision: number
  /** Of what bears this label, the share that was given it. */
  readonly recall: number
  /** The harmonic mean of both. */
  readonly f1: number
  /** How many rows bear this label. */
  readonly support: number
}

export interface ClassScores extends Scores {
  readonly label: string
}

export interface ClassificationReport {
  readonly accuracy: number
  /** The plain mean over classes: each counts alike, however rare. */
  readonly macro: Scores
  /** The mean over classes by their support. */
  readonly weighted: Scores
  readonly n: number
  /** Every label that occurs, as actual or as predicted, sorted by code point as scikit-learn does. */
  readonly classes: ReadonlyArray<ClassScores>
}

const divide = (share: number, whole: number): number => (whole === 0 ? 0 : share / whole)

interface Counts {
  hits: number
  predicted: number
  actual: number
}

const countLabels = (pairs: ReadonlyArray<LabelPair>): ReadonlyMap<string, Counts> => {
  const counts = new Map<string, Counts>()
  const countsOf = (label: string): Counts => {
    let found = counts.get(label)
    if (found === undefined) {
      found = { hits: 0, predicted: 0, actual: 0 }
      counts.set(label, found)
    }
    return found
  }
  for (const { actual, predicted } of pairs) {
    countsOf(actual).actual++
    countsOf(predicted).predicted++
    if (actual === predicted) countsOf(actual).hits++
  }
  return counts
}

const average = (classes: ReadonlyArray<ClassScores>, weightOf: (scores: ClassScores) => number): Scores => {
  let [precision, recall, f1, weights, support] = [0, 0, 0, 0, 0]
  for (const scores of classes) {
    const weight = weightOf(scores)
    precision += scores.precision * weight
    recall += scores.recall * weight
    f1 += scores.f1 * weight
    weights += weight
    support += scores.support
  }
  return { precision: divide(precision, weights), recall: divide(recall, weights), f1: divide(f1, weights), support }
}

/**
 * The figures of scikit-learn's `classification_report` with `zero_division=0`
 * (https://scikit-learn.org/stable/modules/generated/sklearn.metrics.classification_report.html). No rows give zeros.
 */
export const classificationReport = (pairs: ReadonlyArray<LabelPair>): ClassificationReport => {
  const counts = countLabels(pairs)
  let hits = 0
  const classes = [...counts.keys()].sort().map((label): ClassScores => {
    const { actual, hits: classHits, predicted } = counts.get(label)!
    hits += classHits
    return {
      label,
      precision: divide(classHits, predicted),
      recall: divide(classHits, actual),
      f1: divide(2 * classHits, predicted + actual),
      support: actual,
    }
  })
  return {
    accuracy: divide(hits, pairs.length),
    macro: average(classes, () => 1),
    weighted: average(classes, (scores) => scores.support),
    n: pairs.length,
    classes,
  }
}
