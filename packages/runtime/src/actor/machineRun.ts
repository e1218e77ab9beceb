/**
 * The boundary to what a machine invokes that is no machine: finds the logic by its names, and runs it to its end.
 */
import { Effect } from "effect"
import { type AnyActorLogic, type AnyStateMachine, createActor, toPromise } from "xstate"
import { jsonOf, type RunExit } from "./stepMachine.ts"

/** The name that XState gives to a logic which is written into an `invoke`: its place, and the id of its state. */
const INLINE = /^xstate\.invoke\.(\d+)\.(.*)/

const logicAt = (machine: AnyStateMachine, src: string): AnyActorLogic | undefined => {
  const [, index, nodeId] = INLINE.exec(src) ?? []
  if (nodeId === undefined) {
    const found = machine.implementations.actors[src]
    return found !== undefined && "transition" in found ? found : undefined
  }
  const invoke: unknown = machine.getStateNodeById(nodeId).config.invoke
  const config = Array.isArray(invoke) ? invoke[Number(index)] : invoke
  return config?.src
}

/** What a promise logic does and no other: the value it is resolved with makes it done. */
const isPromise = (logic: AnyActorLogic): boolean => {
  if (!("config" in logic) || "root" in logic) return false
  const active = { status: "active", output: undefined, error: undefined }
  // Neither of its arguments is used before the status is decided, so that no scope need be made.
  try {
    return (
      logic.transition(active, { type: "xstate.promise.resolve", data: null }, { self: {} } as never).status === "done"
    )
  } catch {
    // Another kind of logic did want its scope.
    return false
  }
}

export const nameOf = (error: unknown): { readonly name: string; readonly message: string } =>
  error instanceof Error
    ? { name: error.name, message: error.message }
    : { name: "Error", message: typeof error === "string" ? error : JSON.stringify(jsonOf(error) ?? null) }

/** Runs the promise that `srcs` leads to, from the root machine down; a rejection is an exit like another. */
export const machineRun = (
  machine: AnyStateMachine,
  srcs: ReadonlyArray<string>,
  input: unknown,
): Effect.Effect<RunExit> =>
  Effect.suspend(() => {
    let logic: AnyActorLogic | undefined = machine
    for (const src of srcs)
      logic = logic === undefined || !("root" in logic) ? undefined : logicAt(logic as AnyStateMachine, src)
    const name = srcs[srcs.length - 1]
    if (logic === undefined || !isPromise(logic)) {
      const message = `${machine.id} invokes ${name}, which is neither a machine nor a promise; give an Effect for it in \`actors\`.`
      return Effect.succeed<RunExit>({ ok: false, error: { name: "TerminalMachineMistake", message } })
    }
    const promise = logic
    const running = createActor(promise, { input } as object)
    return Effect.promise<RunExit>(() => {
      const end = toPromise(running)
      running.start()
      return end.then(
        (output: unknown) => ({ ok: true, output }),
        (error: unknown) => ({ ok: false, error: nameOf(error) }),
      )
    }).pipe(Effect.onInterrupt(() => Effect.sync(() => running.stop())))
  })
