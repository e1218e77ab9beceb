/**
 * The boundary between supervisors as they were declared and the tree that crashes climb: the system at the root, groups
 * within groups, and at the leaves actors and types of actors. An actor that no declared group has is in one of its type,
 * which the system has: it restarts its actors one for one without a limit of its own, and escalates what they escalate.
 */
import type { Address } from "../message/Address.ts"
import type { Strategy, SupervisorGroup } from "./makeSupervisor.ts"
import { type Backoff, SUPERVISION_DEFAULT } from "./restartPolicy.ts"

/** What is restarted: an actor by its address in written form, or all of a type that have no place of their own. */
export type Leaf = { readonly _tag: "Actor"; readonly key: string } | { readonly _tag: "Type"; readonly type: string }

export interface Group {
  readonly _tag: "Group"
  readonly name: string
  readonly strategy: Strategy
  readonly restartsMax: number
  readonly withinMs: number
  readonly backoff: Backoff
  readonly onExceeded: "escalate" | "fail" | "stop"
  readonly children: ReadonlyArray<Leaf | Group>
}

/** Where a child stands: its group, and which of its children it is. */
export interface Place {
  readonly group: Group
  readonly index: number
}

/** The name of the root in reasons; no group can be called so. */
export const ROOT = "the system"
/** The window of `escalationsMax`. */
const ESCALATION_WINDOW_MS = 60_000
/** OTP's default is 1 within 5 s; models start slowly, and a group of them should have a second and a third try. */
const RESTARTS_MAX = 3
/** An actor's own backoff has been waited for already where its type's group restarts it. */
const NO_BACKOFF: Backoff = { baseMs: 0, factor: 1, maxMs: 0, jitter: 0 }

const groupOf = ({ name, options }: SupervisorGroup): Group => ({
  _tag: "Group",
  name,
  strategy: options.strategy ?? "one-for-one",
  restartsMax: options.restartsMax ?? RESTARTS_MAX,
  withinMs: options.withinMs ?? SUPERVISION_DEFAULT.withinMs,
  backoff: { ...SUPERVISION_DEFAULT.backoff, ...options.backoff },
  onExceeded: options.onExceeded ?? "escalate",
  children: options.children.map((child) => {
    if (!("kind" in child)) return { _tag: "Type", type: child.name }
    return child.kind === "supervisor" ? groupOf(child) : { _tag: "Actor", key: `${child.type}/${child.id}` }
  }),
})

const typeGroup = (type: string): Group => ({
  _tag: "Group",
  name: type,
  strategy: "one-for-one",
  restartsMax: Number.POSITIVE_INFINITY,
  withinMs: ESCALATION_WINDOW_MS,
  backoff: NO_BACKOFF,
  onExceeded: "escalate",
  children: [{ _tag: "Type", type }],
})

/** The leaves below, in order of declaration. */
export const leavesOf = (node: Leaf | Group): ReadonlyArray<Leaf> =>
  node._tag === "Group" ? node.children.flatMap(leavesOf) : [node]

export class SupervisionTree {
  readonly root: Group
  /** Of a leaf, by address or by type. */
  readonly #actors = new Map<string, Place>()
  readonly #types = new Map<string, Place>()
  /** Of a group within its parent. */
  readonly #groups = new Map<Group, Place>()

  /** @throws Error where an actor would have two supervisors, or a supervisor two parents, or none of the system's actors */
  constructor(types: Iterable<string>, declared: ReadonlyArray<SupervisorGroup>, escalationsMax: number) {
    const known = new Set(types)
    const groups = declared.map(groupOf)
    const names = new Set<string>()
    for (const group of groups) this.#add(group, known, names)
    const ofTypes = [...known].filter((type) => !this.#types.has(type)).map(typeGroup)
    for (const group of ofTypes) this.#types.set(group.name, { group, index: 0 })
    this.root = {
      _tag: "Group",
      name: ROOT,
      strategy: "one-for-one",
      restartsMax: escalationsMax,
      withinMs: ESCALATION_WINDOW_MS,
      backoff: NO_BACKOFF,
      onExceeded: "escalate",
      children: [...groups, ...ofTypes],
    }
    for (const [index, group] of [...groups, ...ofTypes].entries()) this.#groups.set(group, { group: this.root, index })
  }

  #add(group: Group, known: ReadonlySet<string>, names: Set<string>): void {
    const refuse = (why: string) => new Error(`The system cannot be opened: the supervisor ${group.name} ${why}.`)
    if (names.has(group.name)) throw refuse("is there twice; give each a name of its own, and one parent")
    names.add(group.name)
    for (const [index, child] of group.children.entries()) {
      const place: Place = { group, index }
      if (child._tag === "Group") {
        this.#groups.set(child, place)
        this.#add(child, known, names)
        continue
      }
      const [places, key] = child._tag === "Type" ? [this.#types, child.type] : [this.#actors, child.key]
      const type = key.split("/", 1)[0] ?? key
      if (!known.has(type)) throw refuse(`has the child ${key}, and the system no actor ${type}; add it to actors`)
      const other = places.get(key)
      if (other !== undefined) throw refuse(`has the child ${key}, which ${other.group.name} has too`)
      places.set(key, place)
    }
  }

  /** Where an actor stands; every actor of the system's types stands somewhere. */
  placeOf({ type }: Address, key: string): Place {
    const place = this.#actors.get(key) ?? this.#types.get(type)
    if (place === undefined) throw new Error(`The actor ${key} is of no type that this system has.`)
    return place
  }

  /** Undefined for the root. */
  parentOf(group: Group): Place | undefined {
    return this.#groups.get(group)
  }
}
