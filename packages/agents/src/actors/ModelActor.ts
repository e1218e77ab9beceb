/**
 * The boundary between a mailbox and a model: an actor that wraps one model and answers prompts with a stream of tokens.
 *
 * It holds no conversation. Its chunks hold token ids, so that when it dies in mid-answer, another target of its pool
 * goes on after the last durable token: byte for byte where the weights are the same, marked by a `Began` chunk where
 * they are not.
 */

import { Actor, type ActorSelf, type RetryPolicy, type Supervision } from "@pontoon/runtime"
import { Effect, type Schema, type Scope, Stream } from "effect"
import { type DecoderHandle, Engine } from "../engine/Engine.ts"
import type { DecoderOptions } from "../engine/EngineOptions.ts"
import type {
  GenerateRequest,
  ModelTarget,
  RetryableModelCrash,
  TargetDescription,
  TerminalModelFailure,
} from "../ModelTarget.ts"
import { Generate, type Generation } from "./Generate.ts"
import { planResume } from "./planResume.ts"

/** A model that an actor holds while it lives. */
export interface HeldModel {
  readonly target: ModelTarget["Service"]
}

export interface ModelActorTerms {
  /** Answers made at once. Default 4. */
  readonly slots?: number
  readonly supervision?: Partial<Supervision>
  readonly retry?: Partial<RetryPolicy>
}

export interface ModelActorOptions extends ModelActorTerms, Omit<DecoderOptions, "slots"> {
  /** Called each time that a model's process is up. */
  readonly onStarted?: (id: string, handle: DecoderHandle) => Effect.Effect<void>
}

/** Says what a target is, in the lifecycle; a fallback device is a degraded start. */
const introduce = (self: ActorSelf, { describe }: { readonly describe: TargetDescription }) =>
  Effect.gen(function* () {
    yield* self.describe(`${describe.name} on ${describe.provider}`)
    const tried = describe.tried.map(({ provider, reason }) => `${provider} was tried first: ${reason}`)
    if (tried.length > 0) yield* self.degraded(`${describe.name} runs on ${describe.provider}; ${tried.join("; ")}`)
  })

/** A target of any kind, as far as its actor looks at it. */
export interface HeldTarget {
  readonly target: {
    readonly describe: TargetDescription
    readonly died: Effect.Effect<never, RetryableModelCrash>
  }
}

/** Holds a model for an actor, and has the actor crash with it. */
export const holdModel = Effect.fnUntraced(function* <M extends HeldTarget, E, R>(
  self: ActorSelf,
  acquire: Effect.Effect<M, E, R>,
) {
  const held = yield* acquire
  yield* introduce(self, held.target)
  yield* Effect.forkScoped(Effect.catch(held.target.died, (crash) => self.crash(crash.message)))
  return held
})

type GenerateContext = Parameters<Actor.Handlers<typeof Generate, null, HeldModel, never>["Generate"]>[1]
type GeneratePayload = Parameters<Actor.Handlers<typeof Generate, null, HeldModel, never>["Generate"]>[0]

const requestOf = (payload: GeneratePayload, resumeTokenIds: ReadonlyArray<number>, deadlineAtMs: number | null) => {
  const { cacheKey, overflow, prompt, sampling = {} } = payload
  const request: GenerateRequest = {
    prompt,
    sampling,
    resumeTokenIds,
    ...(overflow === undefined ? {} : { overflow }),
    ...(cacheKey === undefined ? {} : { cacheKey }),
    ...(deadlineAtMs === null ? {} : { deadlineAtMs }),
  }
  return request
}

const generate = Effect.fnUntraced(function* (payload: GeneratePayload, actor: GenerateContext) {
  const { describe, generate } = actor.resource.target
  const plan = planResume(yield* actor.resume, describe)
  // An earlier attempt said its last word and died before the seal.
  if (plan.finished !== undefined) return plan.finished
  const { name, weightsHash, tokenizerHash } = describe
  yield* actor.emit({
    _tag: "Began",
    model: name,
    ...(weightsHash === undefined ? {} : { weightsHash }),
    ...(tokenizerHash === undefined ? {} : { tokenizerHash }),
    ...(plan.resumed === undefined ? {} : { resumed: plan.resumed }),
  })
  const tokenIds = [...plan.tokenIds]
  const logprobs = [...plan.logprobs]
  let text = plan.text
  const request = requestOf(payload, plan.tokenIds, actor.message.deadlineAtMs)
  const whole = yield* generate(request).pipe(
    Stream.runFoldEffect(
      (): Generation | undefined => undefined,
      (_, event) => {
        if (event._tag === "Tokens") {
          tokenIds.push(...event.tokenIds)
          logprobs.push(...(event.logprobs ?? []))
          text += event.text
          return Effect.as(actor.emit(event), undefined)
        }
        const { _tag, ...ending } = event
        const resumed = plan.resumed === undefined ? plan.earlier : [...plan.earlier, plan.resumed]
        const told = logprobs.length === 0 ? {} : { logprobs }
        const generation: Generation = { text, tokenIds, ...told, model: name, resumed, ...ending }
        return Effect.as(actor.emit({ _tag: "Finished", ...ending }), generation)
      },
    ),
  )
  // An end without a finish reason is a failure, however clean it looks.
  return (
    whole ?? (yield* Effect.fail({ _tag: "RetryableCutStream", message: `${name} ended without saying why.` } as const))
  )
})

/** An actor over any `ModelTarget`; each id is a replica that `acquire` makes. */
export const fromTarget = <R = never>(
  name: string,
  acquire: (
    id: string,
  ) => Effect.Effect<ModelTarget["Service"], TerminalModelFailure | RetryableModelCrash, R | Scope.Scope>,
  terms: ModelActorTerms = {},
) =>
  Actor.make<typeof Generate, typeof Schema.Null, HeldModel, R>(name, {
    protocol: [Generate],
    concurrency: terms.slots ?? SLOTS,
    ...(terms.supervision === undefined ? {} : { supervision: terms.supervision }),
    ...(terms.retry === undefined ? {} : { retry: terms.retry }),
    start: (self) =>
      holdModel(
        self,
        Effect.map(acquire(self.address.id), (target) => ({ target })),
      ),
    handlers: { Generate: generate },
  })

/** The engine's own default: more share the same speed, and need a cache each. */
const SLOTS = 4

/**
 * An actor over a model folder; each id is a replica with a process of its own.
 *
 * ```ts
 * const barista = ModelActor.make("barista", { folder: "models/barista" })
 * const pool = makePool("counter", { targets: [barista.ref("a"), barista.ref("b")] })
 * ```
 */
export const make = (name: string, options: ModelActorOptions) => {
  const { onStarted, retry, slots = SLOTS, supervision, ...engine } = options
  return fromTarget(
    name,
    (id) =>
      Effect.gen(function* () {
        const handle = yield* Engine.decoder({ ...engine, slots, name: engine.name ?? `${name}/${id}` })
        if (onStarted !== undefined) yield* onStarted(id, handle)
        return handle.target
      }),
    { slots, ...(supervision === undefined ? {} : { supervision }), ...(retry === undefined ? {} : { retry }) },
  )
}
