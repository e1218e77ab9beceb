/**
 * The boundary to a little statistics: times of service are taken to be lognormal, given by their median and by the
 * standard deviation of their logarithm (`spread`). Two numbers a target then say every percentile, what a running message
 * still needs, and what those that have not ended yet tell.
 */

/** The standard normal distribution (Abramowitz and Stegun 26.2.17; the error is below 1e-7). */
export const normalCdf = (z: number): number => {
  const t = 1 / (1 + 0.2316419 * Math.abs(z))
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  const tail = 0.3989422804 * Math.exp(-0.5 * z * z) * poly
  return z > 0 ? 1 - tail : tail
}

/** Density over what is left beyond `z`: how far beyond it a normal value lies on average (the inverse Mills ratio). */
export const normalHazard = (z: number): number => {
  // Beyond 4 the quotient loses its digits; the series does not.
  if (z > 4) return z + 1 / z - 2 / z ** 3
  return (0.3989422804 * Math.exp(-0.5 * z * z)) / Math.max(1e-12, 1 - normalCdf(z))
}

/** The probability that a service ends within `ms`. */
export const inTime = (ms: number, medianMs: number, spread: number): number =>
  ms <= 0 ? 0 : normalCdf(Math.log(ms / medianMs) / spread)

/** The same of one that has run for `ageMs` already. */
export const inTimeAfter = (ms: number, ageMs: number, medianMs: number, spread: number): number => {
  if (ageMs <= 0) return inTime(ms, medianMs, spread)
  const gone = Math.log(ageMs / medianMs) / spread
  // In the far tail both are zero; the hazard says the same.
  if (gone > 4) return 1 - Math.exp((-normalHazard(gone) * Math.log((ageMs + ms) / ageMs)) / spread)
  const left = 1 - normalCdf(gone)
  return Math.min(1, Math.max(0, 1 - (1 - inTime(ageMs + ms, medianMs, spread)) / left))
}

/** @param z the percentile as a normal deviate: 1.282 for p90, 1.645 for p95, 2.326 for p99 */
export const percentileMs = (z: number, medianMs: number, spread: number): number => medianMs * Math.exp(z * spread)

export const meanMs = (medianMs: number, spread: number): number => medianMs * Math.exp(spread ** 2 / 2)
