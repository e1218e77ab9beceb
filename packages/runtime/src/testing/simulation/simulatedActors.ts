/**
 * The boundary to user code in a simulation: one actor of each kind, whose handlers do what a script says. A stateful one
 * keeps the ids of the messages that it has answered, so that an effect which is committed twice, or not at all, is there to
 * be read.
 */
import { Effect, Schema } from "effect"
import * as Actor from "../../actor/Actor.ts"
import type { ActorContext, ActorSelf } from "../../actor/ActorContext.ts"
import { type AnyPool, makePool } from "../../supervision/Pool.ts"
import type { RetryPolicy } from "../../supervision/restartPolicy.ts"
import type { Program } from "./Plan.ts"
import { type Gate, ScriptedHandler } from "./ScriptedHandler.ts"
import type { SimulatedProcess } from "./SimulatedTime.ts"
import { type Cast, RetryableTrouble, type Stage, Talk, Work } from "./Stage.ts"
import { AGEING_MS, TARGETS } from "./simulatedAddresses.ts"

export const ATTEMPTS_MAX = 4
/** Short beside the defaults, so that a run of a second sees all of it; few, so that messages die. */
const RETRY: Partial<RetryPolicy> = {
  attemptsMax: ATTEMPTS_MAX,
  backoff: { baseMs: 4, factor: 3, maxMs: 200, jitter: 0.5 },
}
const SUPERVISION = { restartsMax: 3, withinMs: 10_000, backoff: { baseMs: 5, factor: 2, maxMs: 300, jitter: 0.5 } }

const idOf = (address: string): string => address.slice(address.indexOf("/") + 1)

type Worker = ActorContext<typeof Work, ReadonlyArray<string>, unknown>

const [OPENED, SHUT] = ["!opened", "!shut"] as const

/** Whether the actor was opened after it was shut. */
const gateOf = (actor: Worker): Gate => ({
  isOpen: () => actor.state.lastIndexOf(SHUT) <= actor.state.lastIndexOf(OPENED),
  set: (open) => actor.setState([...actor.state, open ? OPENED : SHUT]),
})

/** Before the id of a message that was handed on. */
const HANDED_ON = ">"

const decodeState = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Array(Schema.String)))

/** The ids of the messages that an actor has answered, by its state. */
export const effectsIn = (state: string): ReadonlyArray<string> =>
  decodeState(state).filter((id) => !id.startsWith("!") && !id.startsWith(HANDED_ON))

/** The ids of the messages that an actor has handed on, by its state. */
export const handedOnIn = (state: string): ReadonlyArray<string> =>
  decodeState(state).flatMap((id) => (id.startsWith(HANDED_ON) ? [id.slice(HANDED_ON.length)] : []))

/** Does what the script says, and keeps the message's id. */
const answer = (handler: ScriptedHandler, script: number, actor: Worker) =>
  handler.perform({
    actor,
    script,
    isSerial: true,
    gate: gateOf(actor),
    forward: (to) => handler.handOnWork(actor, to),
    done: (handedOn) => actor.setState([...actor.state, `${handedOn ? HANDED_ON : ""}${actor.message.id}`]),
  })

const makeWorker = (
  name: string,
  handler: () => ScriptedHandler,
  { version }: Program,
  mailbox: Partial<Actor.MailboxOptions>,
) =>
  Actor.make(name, {
    mailbox: { ...mailbox, ageingMs: AGEING_MS },
    version,
    protocol: [Work],
    state: Schema.Array(Schema.String),
    initialState: [],
    retry: RETRY,
    supervision: SUPERVISION,
    handlers: {
      Work: ({ script }, actor) => answer(handler(), script, actor),
    },
  })

const makeTalker = (handler: () => ScriptedHandler) =>
  Actor.make("talker", {
    mailbox: { ageingMs: AGEING_MS },
    protocol: [Talk],
    retry: RETRY,
    supervision: SUPERVISION,
    handlers: {
      Talk: ({ script }, actor) => {
        const said = handler().scriptOf(script).resumes ? actor.resume : undefined
        return handler().perform({
          actor,
          script,
          isSerial: true,
          emit: actor.emit,
          said,
          forward: (to) => handler().handOnTalk(actor, to),
        })
      },
    },
  })

/** How an actor gets a resource, which must never be there twice. */
const makeStart = ({ down, random, started, witness }: Stage, process: SimulatedProcess) =>
  Effect.fnUntraced(function* (self: ActorSelf) {
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

type Start = ReturnType<typeof makeStart>

/** A target of the pool. */
const makeModel = (handler: () => ScriptedHandler, start: Start) =>
  Actor.make("model", {
    mailbox: { ageingMs: AGEING_MS },
    protocol: [Work],
    concurrency: 2,
    retry: RETRY,
    supervision: SUPERVISION,
    start,
    handlers: {
      Work: ({ script }, actor) =>
        handler().perform({ actor, script, isSerial: false, forward: (to) => handler().handOnWork(actor, to) }),
    },
  })

/** An actor with a resource and a state, whose failures go up to its supervisor, and from there to the system. */
const makeCrew = (handler: () => ScriptedHandler, { version }: Program, start: Start) =>
  Actor.make("crew", {
    mailbox: { ageingMs: AGEING_MS },
    protocol: [Work],
    state: Schema.Array(Schema.String),
    initialState: [],
    version,
    retry: RETRY,
    supervision: { ...SUPERVISION, onExceeded: "escalate" },
    start,
    handlers: {
      Work: ({ script }, actor) => answer(handler(), script, actor),
    },
  })

export interface SimulatedActors extends Cast {
  /** None of them needs a service. */
  readonly actors: ReadonlyArray<Actor.AnyActor & { readonly "~services"?: never }>
  readonly pools: ReadonlyArray<AnyPool>
}

/** The actors of one process, as its program defines them. */
export const makeActors = (stage: Stage, process: SimulatedProcess, program: Program): SimulatedActors => {
  const handler = (): ScriptedHandler => scripted
  const start = makeStart(stage, process)
  const Account = makeWorker("account", handler, program, { capacity: 3, whenFull: "wait" })
  const Desk = makeWorker("desk", handler, program, { capacity: 2, strict: true })
  const Planner = makeWorker("planner", handler, program, {})
  const Shop = makeWorker("shop", handler, program, { capacity: 5, whenFull: "dropOldest" })
  const Talker = makeTalker(handler)
  const Crew = makeCrew(handler, program, start)
  const Model = makeModel(handler, start)
  const pool = makePool("models", {
    targets: TARGETS.map((target, nth) => ({ ref: Model.ref(idOf(target)), tier: nth === 2 ? 1 : 0 })),
    tierPenaltyMs: 50,
  })
  const workers = new Map([Account, Desk, Planner, Shop, Crew].map((actor) => [actor.name, actor]))
  const cast: Cast = {
    workRef: (to) => workers.get(to.slice(0, to.indexOf("/")))?.ref(idOf(to)) ?? pool.ref,
    talkRef: (to) => (to.startsWith("talker/") ? Talker.ref(idOf(to)) : undefined),
  }
  const scripted = new ScriptedHandler(stage, process, program, cast)
  const actors = [Account, Desk, Planner, Shop, Talker, Crew, Model].filter(({ name }) => name !== program.lacks)
  return { actors, pools: [pool], ...cast }
}
