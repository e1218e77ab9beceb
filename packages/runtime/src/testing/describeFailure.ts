/** The boundary between a simulation that failed and whoever has to understand it: the shortest history that still fails. */
import { shrinkPlan } from "./shrinkPlan.ts"
import { type Simulated, type SimulateOptions, simulatePlan } from "./simulate.ts"
import type { Plan } from "./simulation/Plan.ts"

/** Longer lines are commits of many writes. */
const LINE_LENGTH_MAX = 800

/** A violation without its names and numbers: the same failure in another plan says the same. */
const kindOf = (violation: string | undefined): string | undefined =>
  violation?.replaceAll(/[0-9A-Z]{26}[.~\d]*/g, "ID").replaceAll(/\d+/g, "N")

const outlineOf = ({ actions, faults, scripts }: Plan): ReadonlyArray<string> => [
  ...actions.map((action) => `  action ${JSON.stringify(action)}`),
  ...faults.map((fault) => `  fault  ${JSON.stringify(fault)}`),
  ...scripts.flatMap(({ acts, resumes }, nth) =>
    acts.length === 0 ? [] : [`  script ${nth}${resumes ? " (resumes)" : ""} ${JSON.stringify(acts)}`],
  ),
]

/**
 * Makes a history readable: names messages `m1`, `m2` in the order in which they come up, says times from the start on, and
 * leaves out what is null, what is in every line, and what a routing decision saw.
 */
const makeReadable = (startedAtMs: number): ((text: string) => string) => {
  const names = new Map<string, string>()
  const nameOf = (id: string): string => {
    const name = names.get(id) ?? `m${names.size + 1}`
    names.set(id, name)
    return name
  }
  return (text) =>
    text
      .replaceAll(/"(evidence|cause)":"(?:[^"\\]|\\.)*",?/g, "")
      .replaceAll(/"cause\\":\\"(?:[^"\\]|\\[^"])*\\",?/g, "")
      .replaceAll(/"\w+":null,?|"codec":"json",|"traceId":"\w+",?/g, "")
      .replaceAll(",}", "}")
      .replaceAll(/[0-9A-Z]{26}/g, nameOf)
      .replaceAll(/\b\d{13}\b/g, (atMs) => `${Number(atMs) - startedAtMs}`)
      .slice(0, LINE_LENGTH_MAX)
}

/** What failed, what the shortest plan found for it does, and everything that happens in that. */
export const describeFailure = (failed: Simulated, options: SimulateOptions = {}): string => {
  const kind = kindOf(failed.violations[0])
  const fails = (plan: Plan): boolean => kindOf(simulatePlan(plan, options).violations[0]) === kind
  const shortest = simulatePlan(shrinkPlan(failed.plan, fails), { ...options, history: true })
  const readable = makeReadable(Number(shortest.history[0]?.split(" ")[0]))
  const { actions, faults } = failed.plan
  const { plan } = shortest
  return [
    `seed ${plan.seed} failed:`,
    ...failed.violations.map((violation) => `  ${violation}`),
    `of its ${actions.length} actions and ${faults.length} faults, ${plan.actions.length} and ${plan.faults.length} do:`,
    ...outlineOf(plan),
    "which happens so, in milliseconds from the start:",
    ...shortest.history.map((line) => `  ${readable(line)}`),
    ...shortest.violations.map((violation) => `so that ${readable(violation)}`),
  ].join("\n")
}
