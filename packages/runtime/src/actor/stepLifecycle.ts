/**
 * The boundary between the lifecycle machine and those who store it: one event in, the next state out. Pure.
 *
 * The machine is stepped with XState's own `transition`, from a plain stored value; a step costs 9-20 us, and it is
 * taken on changes, never per message.
 */
import { transition } from "xstate"
import { type LifecycleContext, type LifecycleInput, type LifecycleState, lifecycle } from "./lifecycle.ts"

/** What is kept of the machine between steps. */
export interface Lifecycle {
  readonly state: LifecycleState
  readonly context: LifecycleContext
}

export const initialLifecycle = (limits: { readonly restartsMax: number; readonly withinMs: number }): Lifecycle => ({
  state: "starting",
  context: { restartsMax: limits.restartsMax, withinMs: limits.withinMs, restartsAtMs: [] },
})

/** The lifecycle after `event`; the same object where the machine does not move. */
export const stepLifecycle = (current: Lifecycle, event: LifecycleInput): Lifecycle => {
  const stored = lifecycle.resolveState({ value: current.state, context: current.context })
  const [next] = transition(lifecycle, stored, event)
  if (next.value === current.state && next.context === stored.context) return current
  return { state: next.value, context: next.context }
}
