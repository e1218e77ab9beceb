/**
 * The boundary between an effect and its record: runs the effect of a step, as often as its terms allow, and records what
 * came of it; or gives what is recorded.
 */
import { Cause, Effect, Exit, Option, Predicate, Schema } from "effect"
import type { StepOptions, StepRetry } from "../../actor/StepOptions.ts"
import { RetryableStepTimeout, TerminalStepTimeout } from "../../message/StepFailure.ts"
import { type Backoff, backoffMs, RETRY_DEFAULT } from "../../supervision/restartPolicy.ts"
import type { Act, Journal, Turn } from "./Journal.ts"
import { CurrentSpace } from "./Space.ts"

/** A name is read in tables and messages. */
const NAME_LENGTH_MAX = 200
/** More tries than this are a loop, which should leave its place to others: fail, and let the message be retried. */
const TRIES_MAX = 1_000
const TRIES_DEFAULT = 3

const isRetryable = (error: unknown): boolean =>
  Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" && error._tag.startsWith("Retryable")

/** The first mistake in the terms of a step. */
const mistakeIn = (name: string, options: StepOptions<never, never, unknown>): string | undefined => {
  const { retry, timeoutMs, totalTimeoutMs } = options
  if (name === "" || name.length > NAME_LENGTH_MAX) {
    return `the name of a step must have 1 to ${NAME_LENGTH_MAX} characters, and has ${name.length}`
  }
  const tries = retry?.attemptsMax
  if (tries !== undefined && !(Number.isSafeInteger(tries) && tries >= 1 && tries <= TRIES_MAX)) {
    return `retry.attemptsMax of the step ${name} must be a whole number from 1 to ${TRIES_MAX}, and is ${tries}`
  }
  for (const [key, value] of Object.entries({ timeoutMs, totalTimeoutMs })) {
    if (value !== undefined && !(value > 0 && Number.isFinite(value))) {
      return `${key} of the step ${name} must be above 0 and finite, and is ${value}; leave it out for none`
    }
  }
  return undefined
}

/** Runs `effect` until it succeeds, or may not be tried again. */
const tryOften = <A, E, R>(
  journal: Journal,
  name: string,
  effect: Effect.Effect<A, E | RetryableStepTimeout, R>,
  retry: StepRetry<E> | undefined,
) => {
  const triesMax = retry === undefined ? 1 : (retry.attemptsMax ?? TRIES_DEFAULT)
  const backoff: Backoff = { ...RETRY_DEFAULT.backoff, ...retry?.backoff }
  const when = retry?.when ?? isRetryable
  return Effect.gen(function* () {
    for (let tries = 1; ; tries++) {
      const exit = yield* Effect.exit(effect)
      if (Exit.isSuccess(exit)) return exit.value
      const error = Cause.findErrorOption(exit.cause)
      if (Option.isNone(error) || tries >= triesMax || !when(error.value)) return yield* exit
      yield* Effect.logDebug(`Step ${name} of message ${journal.message.id} failed at try ${tries} of ${triesMax}.`)
      yield* Effect.sleep(backoffMs(backoff, tries, journal.system.random()))
    }
  })
}

/** `effect` within the limits of a step's terms. */
const within = <A, E, R>(
  journal: Journal,
  name: string,
  effect: Effect.Effect<A, E, R>,
  options: StepOptions<A, E, R>,
) => {
  const { retry, timeoutMs, totalTimeoutMs } = options
  const { id } = journal.message
  const timedOut = (limitMs: number, what: string) => ({
    messageId: id,
    step: name,
    limitMs,
    message: `The step ${name} of message ${id} ${what} within ${limitMs} ms.`,
  })
  const once: Effect.Effect<A, E | RetryableStepTimeout, R> =
    timeoutMs === undefined
      ? effect
      : Effect.timeoutOrElse(effect, {
          duration: timeoutMs,
          orElse: () => Effect.fail(new RetryableStepTimeout(timedOut(timeoutMs, "did not end"))),
        })
  const often = retry === undefined ? once : tryOften(journal, name, once, retry)
  if (totalTimeoutMs === undefined) return often
  return Effect.timeoutOrElse(often, {
    duration: totalTimeoutMs,
    orElse: () => Effect.fail(new TerminalStepTimeout(timedOut(totalTimeoutMs, "had, over all its tries, no success"))),
  })
}

/** The key of a step, to be handed to whatever it changes outside. */
const keyOf = ({ message }: Journal, ordinal: number): string => `${message.id}.${ordinal}`

/** @see ActorContext.step */
export const step = <A, E, R>(
  journal: Journal,
  name: string,
  schema: Schema.Codec<A, unknown>,
  effect: Effect.Effect<A, E, R> | ((key: string) => Effect.Effect<A, E, R>),
  options: StepOptions<A, E, R> = {},
) => {
  const { compensate } = options
  const text = Schema.fromJsonString(Schema.toCodecJson(schema))
  const kind = compensate === undefined ? "step" : "undoable"
  const act: Act = { kind, name, what: `the step ${name}` }

  const recalled = Effect.fnUntraced(function* ({ ordinal }: Turn, result: string) {
    return yield* Schema.decodeUnknownEffect(text)(result).pipe(
      Effect.mapError((error) =>
        journal.mismatch(ordinal, `recorded a result of step ${name} that no longer fits: ${error.message}`),
      ),
    )
  })

  /** From the end of the effect on nothing interrupts: what is done is recorded, and known to be compensated. */
  const fresh = Effect.fnUntraced(function* ({ ordinal, space }: Turn, known: (value: A) => void) {
    // Here the handler stops that is run again for the compensations of what it recorded.
    if (journal.mode === "recall") return yield* Effect.never
    yield* journal.checkChild(act, ordinal)
    yield* journal.checkSteps(name)
    const once = typeof effect === "function" ? effect(keyOf(journal, ordinal)) : effect
    const limited = within(journal, name, once, options)
    const run = Effect.provideService(limited, CurrentSpace, space.within(ordinal, false))
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const value = yield* restore(run)
        const result = yield* Effect.orDie(Schema.encodeUnknownEffect(text)(value))
        journal.system.crashPoint("step.before")
        yield* journal.record(ordinal, kind, name, result)
        known(value)
        journal.system.crashPoint("step.after")
        return value
      }),
    )
  })

  return journal.act(act, true, (turn) =>
    Effect.gen(function* () {
      const mistake =
        mistakeIn(name, options as StepOptions<never, never, unknown>) ??
        (compensate !== undefined && !turn.space.undo
          ? `the step ${name} has a compensation, and is within a race, a step or a compensation, which may be passed over when the handler runs again`
          : undefined)
      if (mistake !== undefined) return yield* journal.invalid(name, mistake)
      // What is within is not asked for where the step is recorded, or fails before it.
      journal.passOver(turn.space, turn.ordinal)
      const context = yield* Effect.context<R>()
      const known = (value: A): void => {
        if (compensate === undefined) return
        const { ordinal, space } = turn
        const run = Effect.suspend(() => compensate(value, `${keyOf(journal, ordinal)}~undo`)).pipe(
          Effect.provideService(CurrentSpace, space.undoing(ordinal)),
          Effect.provideContext(context),
        )
        journal.addUndoable({ ordinal, name, run })
      }
      if (turn.row === undefined) return yield* fresh(turn, known)
      const value = yield* recalled(turn, turn.row.result)
      known(value)
      return value
    }),
  )
}
