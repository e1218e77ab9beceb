/**
 * The boundary between a plan that fails and the shortest one found that still does: takes out faults, actions and acts of
 * handlers, in halves, then quarters, and so on down to one (Zeller, "Simplifying and Isolating Failure-Inducing Input",
 * 2002), for as long as something can go.
 */
import type { Plan } from "./simulation/Plan.ts"

/** Plans tried: a few seconds of work, after which hardly anything more is found. */
const TRIES_MAX = 2_000

/** Takes out of `list` what can go; `isStill` says whether the rest fails. */
const shrinkList = <A>(list: ReadonlyArray<A>, isStill: (rest: ReadonlyArray<A>) => boolean): ReadonlyArray<A> => {
  let rest = list
  for (let size = Math.ceil(rest.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < rest.length; ) {
      const without = rest.toSpliced(from, size)
      if (isStill(without)) rest = without
      else from += size
    }
  }
  return rest
}

/**
 * Gives the shortest plan found that still fails.
 *
 * @param fails whether a plan fails in the way that is looked for
 */
export const shrinkPlan = (plan: Plan, fails: (plan: Plan) => boolean): Plan => {
  let tries = 0
  let shortest = plan
  const attempt = (next: Plan): boolean => {
    if (tries >= TRIES_MAX || !fails(next)) {
      tries++
      return false
    }
    tries++
    shortest = next
    return true
  }
  const sizeOf = ({ actions, faults, scripts }: Plan) =>
    actions.length + faults.length + scripts.reduce((sum, { acts }) => sum + acts.length, 0)
  for (let before = Number.POSITIVE_INFINITY; sizeOf(shortest) < before && tries < TRIES_MAX; ) {
    before = sizeOf(shortest)
    shrinkList(shortest.actions, (actions) => attempt({ ...shortest, actions }))
    shrinkList(shortest.faults, (faults) => attempt({ ...shortest, faults }))
    for (const [nth, script] of shortest.scripts.entries()) {
      if (script.acts.length === 0) continue
      shrinkList(script.acts, (acts) =>
        attempt({ ...shortest, scripts: shortest.scripts.with(nth, { ...script, acts }) }),
      )
    }
  }
  return shortest
}
