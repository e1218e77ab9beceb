/**
 * The boundary to user code in a simulation: one actor of each kind, whose handlers do what a script says. A stateful one
 * keeps the ids of the messages that it has answered, so that an effect which is committed twice, or not at all, is there to
 * be read.
 */
import { Effect, Schema } from "effect"
import * as Actor from "../../actor/Actor.ts"
import type { ActorSelf } from "../../actor/ActorContext.ts"
import { type AnyPool, makePool } from "../../supervision/Pool.ts"
import type { RetryPolicy } from "../../supervision/restartPolicy.ts"
import { TARGETS } from "./makePlan.ts"
import { type Cast, RetryableTrouble, ScriptedHandler, type Stage, Talk, Work } from "./ScriptedHandler.ts"
import type { SimulatedProcess } from "./SimulatedTime.ts"

export const ATTEMPTS_MAX = 4
/** Short beside the defaults, so that a run of a second sees all of it; few, so that messages die. */
const RETRY: Partial<RetryPolicy> = {
  attemptsMax: ATTEMPTS_MAX,
  backoff: { baseMs: 4, factor: 3, maxMs: 200, jitter: 0.5 },
}
const SUPERVISION = { restartsMax: 3, withinMs: 10_000, backoff: { baseMs: 5, factor: 2, maxMs: 300, jitter: 0.5 } }

const idOf = (address: string): string => address.slice(address.indexOf("/") + 1)

const makeWorker = (name: string, handler: () => ScriptedHandler, mailbox: { capacity?: number; strict?: boolean }) =>
  Actor.make(name, {
    mailbox,
    protocol: [Work],
    state: Schema.Array(Schema.String),
    initialState: [],
    retry: RETRY,
    supervision: SUPERVISION,
    handlers: {
      Work: ({ script }, actor) =>
        Effect.tap(handler().perform({ actor, script, isSerial: true }), () =>
          Effect.sync(() => actor.setState([...actor.state, actor.message.id])),
        ),
    },
  })

const makeTalker = (handler: () => ScriptedHandler) =>
  Actor.make("talker", {
    protocol: [Talk],
    retry: RETRY,
    supervision: SUPERVISION,
    handlers: {
      Talk: ({ script }, actor) => {
        const said = handler().scriptOf(script).resumes ? actor.resume : undefined
        return handler().perform({ actor, script, isSerial: true, emit: actor.emit, said })
      },
    },
  })

/** A target of the pool: it holds a resource, which must never be there twice. */
const makeModel = (handler: () => ScriptedHandler, stage: Stage, process: SimulatedProcess) => {
  const { down, random, started, witness } = stage
  const start = Effect.fnUntraced(function* (self: ActorSelf) {
    const key = `${self.address.type}/${self.address.id}`
    yield* Effect.sleep(random.below(8))
    if (down.has(key)) return yield* new RetryableTrouble({ message: `${key} is down` })
    return yield* Effect.acquireRelease(
      Effect.sync(() => {
        if (started.has(key)) witness.wrong(`${key} was started while its resource was held`)
        if (process.alive) started.set(key, self)
        return key
      }),
      () => Effect.sync(() => (process.alive ? started.delete(key) : undefined)),
    )
  })
  return Actor.make("model", {
    protocol: [Work],
    concurrency: 2,
    retry: RETRY,
    supervision: SUPERVISION,
    start,
    handlers: { Work: ({ script }, actor) => handler().perform({ actor, script, isSerial: false }) },
  })
}

export interface SimulatedActors extends Cast {
  /** None of them needs a service. */
  readonly actors: ReadonlyArray<Actor.AnyActor & { readonly "~services"?: never }>
  readonly pools: ReadonlyArray<AnyPool>
}

/** The actors of one process. */
export const makeActors = (stage: Stage, process: SimulatedProcess): SimulatedActors => {
  const handler = (): ScriptedHandler => scripted
  const Account = makeWorker("account", handler, {})
  const Desk = makeWorker("desk", handler, { capacity: 2, strict: true })
  const Planner = makeWorker("planner", handler, {})
  const Talker = makeTalker(handler)
  const Model = makeModel(handler, stage, process)
  const pool = makePool("models", {
    targets: TARGETS.map((target, nth) => ({ ref: Model.ref(idOf(target)), tier: nth === 2 ? 1 : 0 })),
    tierPenaltyMs: 50,
  })
  const cast: Cast = {
    workRef: (to) => {
      if (to === pool.name) return pool.ref
      return (to.startsWith("account/") ? Account : to.startsWith("desk/") ? Desk : Planner).ref(idOf(to))
    },
    talkRef: (to) => (to.startsWith("talker/") ? Talker.ref(idOf(to)) : undefined),
  }
  const scripted = new ScriptedHandler(stage, process, cast)
  return { actors: [Account, Desk, Planner, Talker, Model], pools: [pool], ...cast }
}
