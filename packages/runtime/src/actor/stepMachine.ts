/**
 * The boundary between a user's XState machine and those who store it: events in; the next stored state, and what is to
 * be done about it, out. Nothing is started, scheduled or called here.
 *
 * The machine and its child machines are stepped by their own `transition`, with an actor scope that only takes notes.
 * XState's `transition(machine, snapshot, event)` makes such a scope too, but one without a parent, so that a child
 * could not send to its own. What becomes of children is read off the snapshots before and after: a child spawned in an
 * `assign` announces itself by no action.
 */
import { Predicate, type Schema } from "effect"
import {
  type AnyActor,
  type AnyActorLogic,
  type AnyActorRef,
  type AnyActorScope,
  type AnyEventObject,
  type AnyMachineSnapshot,
  type AnyStateMachine,
  createActor,
  type ExecutableActionObject,
} from "xstate"
import type { StoredMachine } from "./MachineState.ts"

/** What a step leaves to be done, in order. */
export type Act =
  | { readonly _tag: "Action"; readonly action: ExecutableActionObject }
  | {
      readonly _tag: "Timer"
      readonly token: number
      readonly to: string
      readonly event: Schema.Json
      readonly delayMs: number
    }
  | {
      readonly _tag: "Run"
      readonly path: string
      readonly run: number
      readonly srcs: ReadonlyArray<string>
      readonly input: Schema.Json | undefined
    }

/** What comes to a machine. */
export type MachineInput =
  | { readonly _tag: "Event"; readonly event: AnyEventObject }
  | {
      readonly _tag: "Timer"
      readonly token: number
      readonly to: string
      readonly event: unknown
    }
  | { readonly _tag: "Settled"; readonly path: string; readonly run: number; readonly exit: RunExit }

export type RunExit =
  | { readonly ok: true; readonly output?: unknown }
  | { readonly ok: false; readonly error: { readonly name: string; readonly message: string } }

export interface MachineBounds {
  readonly eventsMax: number
  readonly childrenMax: number
  readonly timersMax: number
}

interface Node {
  readonly self: AnyActor
  readonly srcs: ReadonlyArray<string>
  readonly run: number | undefined
  snapshot: AnyMachineSnapshot
}

/** JSON data, without what JSON leaves out; an Error keeps its name and message. */
export const jsonOf = (value: unknown): Schema.Json | undefined => {
  const text = JSON.stringify(value, (_, each: unknown) =>
    each instanceof Error ? { name: each.name, message: each.message } : each,
  )
  return text === undefined ? undefined : JSON.parse(text)
}

/** Restoring a snapshot writes actor refs into its context, so it gets one of its own. Only plain data can hold refs. */
const copied = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(copied)
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, copied(each)]))
}

// By shape, not by class: the user's XState may be another copy than ours.
const isMachine = (logic: AnyActorLogic): logic is AnyStateMachine => "root" in logic && "resolveState" in logic

/** The error event's error: an Error again, for machines that ask `instanceof`. */
const errorOf = ({ name, message }: { readonly name: string; readonly message: string }): Error =>
  Object.assign(new Error(message), { name })

const childPath = (path: string, id: string): string => `${path}/${encodeURIComponent(id)}`
const parentPath = (path: string): string => path.slice(0, path.lastIndexOf("/"))
const depthOf = (path: string): number => path.split("/").length

const scopeOf = (self: AnyActor, actions: Array<ExecutableActionObject>): AnyActorScope => ({
  self,
  system: self.system,
  id: self.id,
  sessionId: self.sessionId,
  logger: () => {},
  defer: () => {},
  emit: () => {},
  stopChild: () => {},
  actionExecutor: (action) => actions.push(action),
})

/** One message's worth of steps. */
class Stepping {
  readonly acts: Array<Act> = []
  readonly #machine: AnyStateMachine
  readonly #bounds: MachineBounds
  readonly #nodes = new Map<string, Node>()
  readonly #paths = new Map<unknown, string>()
  /** From number to source and id. */
  readonly #timers: Map<number, string>
  readonly #queue: Array<{ readonly path: string; readonly event: AnyEventObject }> = []
  #next: number

  constructor(machine: AnyStateMachine, bounds: MachineBounds, state: StoredMachine | null) {
    this.#machine = machine
    this.#bounds = bounds
    this.#timers = new Map(Object.entries(state?.timers ?? {}).map(([token, key]) => [Number(token), key]))
    this.#next = state?.next ?? 1
  }

  /** The machine starts. */
  begin(input: unknown): void {
    const self = createActor(this.#machine, { input })
    this.#start("", self, [], input)
    this.#drain()
  }

  /** The machine goes on from its stored state. */
  restore(state: StoredMachine): void {
    const nested = (path: string): object =>
      Object.fromEntries(
        Object.entries(state.children)
          .filter(([each]) => each !== "" && parentPath(each) === path)
          .map(([each, { snapshot, src }]) => {
            const id = decodeURIComponent(each.slice(path.length + 1))
            const own = copied(snapshot) as object
            return [id, { src, snapshot: { ...own, children: nested(each) } }]
          }),
      )
    const snapshot = { ...state.root, context: copied(state.root.context), children: nested("") }
    const self = createActor(this.#machine, { snapshot } as object)
    const found = (path: string, actor: AnyActor, srcs: ReadonlyArray<string>) => {
      const at: AnyMachineSnapshot = actor.getSnapshot()
      const kept = path === "" ? state.root : state.children[path]?.snapshot
      // XState keeps what it cannot restore to itself, as an actor that has failed.
      if (Predicate.hasProperty(kept, "status") && kept.status !== at.status) {
        throw at.error instanceof Error ? at.error : new Error("its stored state does not fit it")
      }
      this.#paths.set(actor, path)
      this.#nodes.set(path, { self: actor, srcs, run: state.children[path]?.run, snapshot: at })
      for (const [id, child] of Object.entries(at.children ?? {})) {
        const src = state.children[childPath(path, id)]?.src
        if (src !== undefined) found(childPath(path, id), child as AnyActor, [...srcs, src])
      }
    }
    found("", self, [])
  }

  take(input: MachineInput): void {
    if (input._tag === "Event") this.#queue.push({ path: "", event: input.event })
    else if (input._tag === "Timer") {
      if (!this.#timers.delete(input.token)) return
      this.#queue.push({ path: input.to, event: input.event as AnyEventObject })
    } else {
      const node = this.#nodes.get(input.path)
      if (node === undefined || node.run !== input.run || node.snapshot.status !== "active") return
      const { exit } = input
      const end = exit.ok
        ? { status: "done", output: exit.output, error: undefined, input: undefined }
        : { status: "error", output: undefined, error: errorOf(exit.error), input: undefined }
      node.snapshot = { ...node.snapshot, ...end } as AnyMachineSnapshot
      this.#tellParent(input.path, node)
    }
    this.#drain()
  }

  get root(): AnyMachineSnapshot {
    return this.#nodes.get("")!.snapshot
  }

  state(): StoredMachine {
    const persisted = this.#machine.getPersistedSnapshot(this.root) as AnyMachineSnapshot
    const root = {
      status: persisted.status,
      value: jsonOf(persisted.value) ?? null,
      context: persisted.context,
      historyValue: jsonOf(persisted.historyValue) ?? {},
    }
    const output = jsonOf(persisted.output)
    const error = jsonOf(persisted.error)
    const children: Record<string, StoredMachine["children"][string]> = {}
    for (const [path, { run, self, snapshot, srcs }] of this.#nodes) {
      if (path === "") continue
      const own = isMachine(self.logic) ? { ...self.logic.getPersistedSnapshot(snapshot) } : { ...snapshot }
      const src = srcs[srcs.length - 1] ?? ""
      const kept = jsonOf({ ...own, children: undefined }) ?? {}
      children[path] = run === undefined ? { src, snapshot: kept } : { src, snapshot: kept, run }
    }
    return {
      root: { ...root, ...(output === undefined ? {} : { output }), ...(error === undefined ? {} : { error }) },
      children,
      timers: Object.fromEntries(this.#timers),
      next: this.#next,
    }
  }

  /** Children before their parents, as XState delivers to a child at once and to a parent when it is at rest. */
  #drain(): void {
    for (let count = 0; this.#queue.length > 0; count++) {
      if (count >= this.#bounds.eventsMax) {
        throw new Error(
          `it has taken ${count} events for one message and is not at rest; raise eventsMax, or end the loop`,
        )
      }
      const deepest = Math.max(...this.#queue.map(({ path }) => depthOf(path)))
      const index = this.#queue.findIndex(({ path }) => depthOf(path) === deepest)
      const [next] = this.#queue.splice(index, 1)
      const node = next === undefined ? undefined : this.#nodes.get(next.path)
      if (next === undefined || node === undefined || node.snapshot.status !== "active") continue
      const { logic } = node.self
      if (!isMachine(logic)) continue
      const actions: Array<ExecutableActionObject> = []
      const before: Record<string, AnyActorRef> = node.snapshot.children
      node.snapshot = logic.transition(node.snapshot, next.event, scopeOf(node.self, actions))
      this.#follow(next.path, node, before, actions)
    }
  }

  #start(path: string, self: AnyActor, srcs: ReadonlyArray<string>, input: unknown): void {
    this.#paths.set(self, path)
    const { logic } = self
    if (isMachine(logic)) {
      const actions: Array<ExecutableActionObject> = []
      const snapshot: AnyMachineSnapshot = logic.getInitialSnapshot(scopeOf(self, actions), input as never)
      const node: Node = { self, srcs, run: undefined, snapshot }
      this.#nodes.set(path, node)
      this.#follow(path, node, {}, actions)
    } else {
      const run = this.#next++
      const snapshot = { status: "active", output: undefined, error: undefined, input } as object
      this.#nodes.set(path, { self, srcs, run, snapshot: snapshot as AnyMachineSnapshot })
      this.acts.push({ _tag: "Run", path, run, srcs, input: jsonOf(input) })
    }
  }

  /** What a step of one machine means for its children, its timers and its parent. */
  #follow(
    path: string,
    node: Node,
    before: Record<string, AnyActorRef>,
    actions: ReadonlyArray<ExecutableActionObject>,
  ): void {
    const { snapshot } = node
    const now: Record<string, AnyActorRef> = snapshot.status === "active" ? snapshot.children : {}
    const born = Object.entries(now).filter(([id, child]) => child !== before[id])
    for (const id of Object.keys(before)) if (now[id] !== before[id]) this.#drop(childPath(path, id))
    for (const [id, child] of born) this.#paths.set(child, childPath(path, id))
    for (const action of actions) this.#note(path, action)
    for (const [id, child] of born) this.#begin(path, id, child as AnyActor, node.srcs)
    if (snapshot.status === "active") return
    this.#cancelAll(path)
    if (path !== "") this.#tellParent(path, node)
  }

  #begin(path: string, id: string, child: AnyActor, srcs: ReadonlyArray<string>): void {
    if (typeof child.src !== "string") {
      throw new Error(`its child ${id} has no name that could be stored; give its logic a name in setup({ actors })`)
    }
    if (Predicate.hasProperty(child.options, "syncSnapshot") && child.options.syncSnapshot === true)
      throw new Error(`its child ${id} has an onSnapshot, which is not supported`)
    if (this.#nodes.size > this.#bounds.childrenMax) {
      throw new Error(`it has more than ${this.#bounds.childrenMax} children; stop some, or raise childrenMax`)
    }
    this.#start(childPath(path, id), child, [...srcs, child.src], child.options.input)
  }

  #note(path: string, action: ExecutableActionObject): void {
    const params = (action.params ?? {}) as {
      readonly event?: AnyEventObject
      readonly delay?: number
      readonly id?: string
      readonly sendId?: string
      readonly to?: unknown
    }
    switch (action.type) {
      case "xstate.spawnChild":
      case "xstate.stopChild":
        return
      case "xstate.cancel":
        this.#cancel((key) => key === `${path}|${params.sendId}`)
        return
      case "xstate.raise":
        // Without a delay it has been taken within the step.
        if (params.delay !== undefined) this.#schedule(path, path, params.event, params.delay, params.id)
        return
      case "xstate.sendTo": {
        const to = this.#paths.get(params.to)
        if (to === undefined) throw new Error("it sends to an actor that is none of its own; use an action for that")
        if (params.delay !== undefined) this.#schedule(path, to, params.event, params.delay, params.id)
        else if (params.event !== undefined) this.#queue.push({ path: to, event: params.event })
        return
      }
      default:
        this.acts.push({ _tag: "Action", action })
    }
  }

  #schedule(
    path: string,
    to: string,
    event: AnyEventObject | undefined,
    delayMs: number,
    id: string | undefined,
  ): void {
    const token = this.#next++
    this.#timers.set(token, `${path}|${id ?? ""}`)
    if (this.#timers.size > this.#bounds.timersMax) {
      throw new Error(`it has more than ${this.#bounds.timersMax} timers; cancel some, or raise timersMax`)
    }
    this.acts.push({ _tag: "Timer", token, to, event: jsonOf(event) ?? null, delayMs: Math.max(0, delayMs) })
  }

  /** Forgets a stopped child, with all that is below it. */
  #drop(path: string): void {
    for (const each of [...this.#nodes.keys()]) {
      if (each !== path && !each.startsWith(`${path}/`)) continue
      this.#nodes.delete(each)
      this.#cancelAll(each)
    }
  }

  #cancelAll(path: string): void {
    this.#cancel((key) => key.startsWith(`${path}|`))
  }

  #cancel(which: (key: string) => boolean): void {
    for (const [token, key] of [...this.#timers]) if (which(key)) this.#timers.delete(token)
  }

  #tellParent(path: string, { self, snapshot }: Node): void {
    const { id } = self
    const event =
      snapshot.status === "error"
        ? { type: `xstate.error.actor.${id}`, error: snapshot.error, actorId: id }
        : { type: `xstate.done.actor.${id}`, output: snapshot.output, actorId: id }
    this.#queue.push({ path: parentPath(path), event })
  }
}

/**
 * Takes one input. Throws, in words that follow the machine's name, where the machine throws or is past a bound.
 *
 * @param state null where the machine has not started: it starts, and then takes the input
 * @param input undefined to do no more than start it
 */
export const stepMachine = (
  machine: AnyStateMachine,
  bounds: MachineBounds,
  state: StoredMachine | null,
  birth: () => unknown,
  input: MachineInput | undefined,
): { readonly state: StoredMachine; readonly acts: ReadonlyArray<Act>; readonly snapshot: AnyMachineSnapshot } => {
  const stepping = new Stepping(machine, bounds, state)
  if (state === null) stepping.begin(birth())
  else stepping.restore(state)
  if (input !== undefined) stepping.take(input)
  return { state: stepping.state(), acts: stepping.acts, snapshot: stepping.root }
}
