/**
 * The boundary between a crash and a plan: who is stopped, who is started again, in which order, and who has had enough.
 * Pure: a tree, what each group has been through, and one event in; actions and the groups' next states out.
 *
 * A group's life is the lifecycle of an actor (`actor/lifecycle.ts`): a crash of a child steps it, its `restartsMax` and
 * `withinMs` are the machine's, and one that has had too many has failed, until its parent restarts it.
 * The strategies are those of Erlang/OTP's `supervisor`.
 */
import { initialLifecycle, type Lifecycle, stepLifecycle } from "../actor/stepLifecycle.ts"
import { type Group, type Leaf, leavesOf, type Place, type SupervisionTree } from "./SupervisionTree.ts"

/** What the groups have been through, by group; one that is missing has been through nothing. */
export type GroupStates = ReadonlyMap<Group, Lifecycle>

export interface RestartEvent {
  /** `crashed`: its group answers. `escalated`: the actor wants its group to have failed. */
  readonly type: "crashed" | "escalated"
  /** The actor's address in written form. */
  readonly key: string
  readonly place: Place
  readonly atMs: number
}

export type Action =
  /** Lets the resource go, and interrupts what runs. */
  | { readonly _tag: "Stop"; readonly leaf: Leaf }
  /** The backoff of the actor that is restarted alone, or of a group that has been through `crashes` of them. */
  | { readonly _tag: "Wait"; readonly backoffOf: "actor" | Group; readonly crashes: number }
  | { readonly _tag: "Start"; readonly leaf: Leaf }
  /** For good. */
  | { readonly _tag: "End"; readonly leaf: Leaf; readonly as: "failed" | "stopped"; readonly group: Group }
  /** The root has had enough. */
  | { readonly _tag: "Close" }

export interface Decision {
  readonly states: GroupStates
  readonly actions: ReadonlyArray<Action>
}

/** Who is restarted when `index` of `group` has failed; `failed` is what of it has. */
const restarted = (group: Group, index: number, failed: ReadonlyArray<Leaf>): ReadonlyArray<Leaf> => {
  switch (group.strategy) {
    case "one-for-one":
      return failed
    case "all-for-one":
      return leavesOf(group)
    case "rest-for-one":
      return [...failed, ...group.children.slice(index + 1).flatMap(leavesOf)]
  }
}

const restartPlan = (
  leaves: ReadonlyArray<Leaf>,
  backoffOf: "actor" | Group,
  crashes: number,
): ReadonlyArray<Action> => [
  ...leaves.toReversed().map((leaf): Action => ({ _tag: "Stop", leaf })),
  { _tag: "Wait", backoffOf, crashes },
  ...leaves.map((leaf): Action => ({ _tag: "Start", leaf })),
]

/** A group that is restarted, by its parent or because one of its actors is wanted again, has been through nothing. */
export const forgetCrashes = (states: GroupStates, group: Group): GroupStates => {
  const next = new Map(states)
  next.delete(group)
  return next
}

/** The group after one more crash. One without a limit keeps no count: a type may have a hundred thousand actors. */
const afterCrash = (group: Group, before: Lifecycle | undefined, atMs: number): Lifecycle => {
  const fresh = initialLifecycle(group)
  if (group.restartsMax === Number.POSITIVE_INFINITY) return { ...fresh, state: "restarting" }
  return stepLifecycle(before ?? { ...fresh, state: "ready" }, { type: "CRASHED", atMs })
}

/** @see Action */
export const decideRestart = (tree: SupervisionTree, states: GroupStates, event: RestartEvent): Decision => {
  const { atMs, key, type } = event
  let next = states
  let place: Place | undefined = event.place
  const actor: Leaf = { _tag: "Actor", key }
  let failed: ReadonlyArray<Leaf> = [actor]
  if (type === "escalated") {
    failed = leavesOf(place.group)
    next = forgetCrashes(next, place.group)
    place = tree.parentOf(place.group)
  }
  // Up the tree, which is as deep as it was declared.
  for (; place !== undefined; place = tree.parentOf(place.group)) {
    const { group, index } = place
    const after = afterCrash(group, next.get(group), atMs)
    if (after.state === "restarting") {
      const leaves = restarted(group, index, failed)
      const isAlone = leaves.length === 1 && leaves[0] === actor
      next = new Map(next).set(group, { ...after, state: "ready" })
      const crashes = after.context.restartsAtMs.length
      return { states: next, actions: restartPlan(leaves, isAlone ? "actor" : group, crashes) }
    }
    const { onExceeded } = group
    if (onExceeded !== "escalate") {
      const as = onExceeded === "stop" ? "stopped" : "failed"
      const leaves = leavesOf(group).toReversed()
      next = new Map(next).set(group, after)
      return { states: next, actions: leaves.map((leaf): Action => ({ _tag: "End", leaf, as, group })) }
    }
    failed = leavesOf(group)
    next = forgetCrashes(next, group)
  }
  return { states: next, actions: [{ _tag: "Close" }] }
}
