/**
 * The boundary between a decision and whoever reads it in the log: one sentence that says which rule decided, what was
 * expected, and what was passed over and why. Pure.
 */
import type { Candidate, Decision, Evidence } from "./Evidence.ts"

const isUsable = ({ lifecycle }: Candidate): boolean => lifecycle === "ready" || lifecycle === "degraded"

const whyNot = (candidate: Candidate): string | undefined => {
  if (!isUsable(candidate)) return `${candidate.target} is ${candidate.lifecycle}`
  if (candidate.tried) return `${candidate.target} failed this message`
  return candidate.health === "healthy" ? undefined : `${candidate.target} is ${candidate.health}`
}

const expected = (
  decision: Extract<Decision, { readonly chosen: string }>,
  { candidates, message }: Evidence,
): string => {
  const { inTime, totalMs } = decision.predicted
  const outstanding = candidates.find(({ target }) => target === decision.chosen)?.outstanding ?? 0
  const surely = message.leftMs === null ? "" : `, ${Math.round(inTime * 100)} % in time`
  return `${Math.round(totalMs)} ms expected${surely}, ${outstanding} outstanding`
}

export const reasonOf = (evidence: Evidence, decision: Decision): string => {
  const chosen = "chosen" in decision ? decision.chosen : undefined
  const passed = evidence.candidates.flatMap((candidate) => {
    const why = candidate.target === chosen ? undefined : whyNot(candidate)
    return why === undefined ? [] : [why]
  })
  const what = "chosen" in decision ? `: ${expected(decision, evidence)}` : ""
  return `${decision.rule}${what}${passed.length === 0 ? "" : ` (${passed.join(", ")})`}`
}
