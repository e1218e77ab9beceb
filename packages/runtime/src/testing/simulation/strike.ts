/** The boundary between a fault of a plan and what it does to the cluster that it befalls. */
import type { Effect } from "effect"
import type { ActorSystem } from "../../ActorSystem.ts"
import type { Address } from "../../message/Address.ts"
import type { CrashPoint } from "../../ports/CrashPoints.ts"
import type { Fault, Program } from "./Plan.ts"
import type { SimulatedDisk } from "./SimulatedDisk.ts"
import type { Stage } from "./Stage.ts"

/** What can be done to a cluster. */
export interface Struck {
  readonly disk: SimulatedDisk
  readonly stage: Stage
  /** Crash points at which the process is to die. */
  readonly armed: Array<{ readonly point: CrashPoint; left: number; readonly downMs: number }>
  /** Kills the process, which is back `downMs` later. */
  readonly die: (downMs: number, why: string) => void
  /** Drains and ends it; `then` is called when that is over. */
  readonly close: (then: () => void) => void
  /** Kills the process; the next one runs `program`. */
  readonly deploy: (program: Program, downMs: number) => void
  /** Runs something in the process that serves, if one does. */
  readonly within: (run: (system: ActorSystem["Service"]) => Effect.Effect<unknown, unknown>) => void
}

const crash = ({ stage, within }: Struck, fault: Extract<Fault, { readonly kind: "crash" }>): void => {
  for (let nth = 0; nth < fault.times; nth++) {
    stage.time.at(stage.time.nowMs + nth * fault.everyMs, () => {
      const self = stage.started.get(fault.target)
      if (self !== undefined) within(() => self.crash("its resource died"))
    })
  }
}

const storm = ({ die, stage }: Struck, { everyMs, times }: Extract<Fault, { readonly kind: "storm" }>): void => {
  for (let nth = 0; nth < times; nth++) {
    stage.time.at(stage.time.nowMs + nth * everyMs, () => die(0, "is killed in a storm"))
  }
}

const trouble = ({ disk, stage, within }: Struck, fault: Extract<Fault, { readonly forMs: number }>): void => {
  const later = (then: () => void): void => void stage.time.at(stage.time.nowMs + fault.forMs, then)
  switch (fault.kind) {
    case "refuse": {
      const refusal = { reason: fault.reason, share: fault.share }
      disk.trouble = refusal
      later(() => {
        if (disk.trouble === refusal) disk.trouble = undefined
      })
      break
    }
    case "slow":
      disk.slowMs = fault.byMs
      later(() => {
        disk.slowMs = 0
      })
      break
    case "unreadable":
      disk.unreadable = fault.share
      later(() => {
        disk.unreadable = 0
      })
      break
    case "suspend":
      later(() => within((system) => system.resume(addressOf(fault.actor), "an operator")))
      break
    case "down":
      stage.down.add(fault.target)
      later(() => stage.down.delete(fault.target))
      break
  }
}

const addressOf = (actor: string): Address => {
  const [type = "", id = ""] = actor.split("/")
  return { type, id }
}

/** Carries a fault out. */
export const strike = (cluster: Struck, fault: Fault): void => {
  cluster.stage.witness.note(cluster.stage.time.nowMs, `fault ${JSON.stringify(fault)}`)
  switch (fault.kind) {
    case "kill":
      cluster.die(fault.downMs, "is killed")
      break
    case "killAt":
      cluster.armed.push({ point: fault.point, left: fault.occurrence, downMs: fault.downMs })
      break
    case "close":
      cluster.close(() => cluster.die(fault.downMs, "has closed"))
      break
    case "storm":
      storm(cluster, fault)
      break
    case "deploy":
      if (fault.drains) cluster.close(() => cluster.deploy(fault.program, fault.downMs))
      else cluster.deploy(fault.program, fault.downMs)
      break
    case "clock":
      cluster.stage.time.stepWall(fault.byMs)
      break
    case "crash":
      crash(cluster, fault)
      break
    case "stop":
      cluster.within((system) => system.stop(addressOf(fault.actor), "an operator"))
      break
    case "suspend":
      cluster.within((system) => system.suspend(addressOf(fault.actor), "an operator"))
      trouble(cluster, fault)
      break
    default:
      trouble(cluster, fault)
  }
}
