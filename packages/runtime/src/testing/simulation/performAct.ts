/**
 * The boundary between one act of a script and what a handler does for it, through its context; what it gets is told to the
 * witness, who knows what it must get when it is run again.
 */
import { Effect, Schema, Stream } from "effect"
import type { HandlerFailure } from "../../actor/Actor.ts"
import type { ActorContext } from "../../actor/ActorContext.ts"
import type { Act, InnerAct, Terms } from "./Plan.ts"
import { type Cast, Declared, RetryableTrouble, type Stage, TerminalTrouble, type Work } from "./Stage.ts"

export type Context = Pick<
  ActorContext<typeof Work, unknown, unknown>,
  "self" | "message" | "step" | "sleep" | "all" | "race" | "ask" | "send" | "stream" | "stash" | "unstashAll"
>

export interface Playing {
  readonly stage: Stage
  readonly cast: Cast
  readonly actor: Context
  /** What the program calls its steps. */
  readonly stepName: string
  /** Called with what it sends, as far as it is known under its own id. */
  readonly sent: (id: string) => void
}

type Done = Effect.Effect<unknown, Declared | HandlerFailure>

/** What a handler does and gets through its context, by a key that finds it again. */
type Keyed<Do extends Act["do"]> = (playing: Playing, act: Extract<Act, { readonly do: Do }>, key: string) => Done

/** Whether the runtime numbers it. */
export const isNumbered = (act: Act): boolean =>
  act.do === "step" ||
  act.do === "sleep" ||
  act.do === "all" ||
  act.do === "race" ||
  act.do === "ask" ||
  act.do === "stream" ||
  act.do === "send"

const fail = (act: Extract<Act, { readonly do: "fail" }>, attempt: number): Done => {
  if (attempt > act.attempts) return Effect.void
  const message = `attempt ${attempt} of the script`
  switch (act.how) {
    case "retryable":
      return Effect.fail(new RetryableTrouble({ message }))
    case "terminal":
      return Effect.fail(new TerminalTrouble({ message }))
    case "declared":
      return Effect.fail(new Declared({ message }))
    case "throw":
      return Effect.die(new Error(message))
  }
}

const step: Keyed<"step"> = ({ actor, stage, stepName }, { fails, ms, triesMax, undoes }, key) => {
  const { random, witness } = stage
  /** What is outside: it knows a key, and how often it was asked. */
  const outside = (id: string, failsMax: number) =>
    Effect.suspend(() => {
      const tries = witness.began(id)
      return tries <= failsMax ? Effect.fail(new RetryableTrouble({ message: `try ${tries} of ${id}` })) : Effect.void
    })
  const draw = (id: string) =>
    Effect.andThen(
      outside(id, fails),
      Effect.map(Effect.sleep(ms), () => random.below(1_000_000)),
    )
  const backoff = { baseMs: 3, factor: 2, maxMs: 40, jitter: 0.5 }
  const stepped = actor.step(stepName, Schema.Number, draw, {
    ...(triesMax > 1 ? { retry: { attemptsMax: triesMax, backoff } } : {}),
    ...(undoes ? { compensate: (_, id) => Effect.andThen(Effect.sleep(ms), outside(id, fails)) } : {}),
  })
  return Effect.tap(stepped, (value) => Effect.sync(() => witness.recall(key, `${value}`)))
}

/** By the wall clock, as far as it has come: what has been waited for once is over for good. */
const sleep: Keyed<"sleep"> = ({ actor, stage }, { ms }, key) =>
  Effect.suspend(() => {
    const { time, witness } = stage
    const fromMs = witness.asleep(key, time.wallMs)
    return Effect.tap(actor.sleep(ms), () =>
      Effect.sync(() => {
        const lastedMs = time.latestWallMs - fromMs
        if (lastedMs < ms) witness.wrong(`sleep ${key} of ${ms} ms was over after ${lastedMs}`)
      }),
    )
  })

const ask: Keyed<"ask"> = ({ actor, cast, stage }, { boldly, script, terms, to }, key) => {
  const talker = cast.talkRef(to)
  const asked =
    talker === undefined
      ? actor.ask(cast.workRef(to), "Work", { script }, terms)
      : actor.ask(talker, "Talk", { script }, terms)
  const seen = Effect.tap(asked, (reply) => Effect.sync(() => stage.witness.recall(key, reply)))
  return boldly ? Effect.ignore(seen) : seen
}

const sendTo = ({ actor, cast }: Playing, to: string, script: number, terms: Terms) => {
  const talker = cast.talkRef(to)
  return talker === undefined
    ? actor.send(cast.workRef(to), "Work", { script }, terms)
    : actor.send(talker, "Talk", { script }, terms)
}

const inner = (playing: Playing, act: InnerAct, key: string): Done => {
  const { actor } = playing
  switch (act.do) {
    case "wait":
      return Effect.sleep(act.ms)
    case "fail":
      return fail(act, actor.message.attempt)
    case "step":
      return step(playing, act, key)
    case "ask":
      return ask(playing, act, key)
    case "send":
      return Effect.tap(sendTo(playing, act.to, act.script, act.terms), (id) =>
        Effect.sync(() => {
          // Under a key, another may have sent it before.
          if (act.terms.idempotencyKey === undefined) playing.sent(id)
        }),
      )
  }
}

/** What a branch comes to: its last act's number. */
const branch = (playing: Playing, acts: ReadonlyArray<InnerAct>, key: string) =>
  Effect.as(
    Effect.forEach(acts, (act, nth) => inner(playing, act, `${key}.${nth}`), { discard: true }),
    key,
  )

/** Who loses has sent nothing. */
const race: Keyed<"all" | "race"> = (playing, { branches }, key) => {
  const sent = new Map<string, Array<string>>()
  const raced = playing.actor.race(
    branches.map((acts, nth) => {
      const own: Array<string> = []
      sent.set(`${key}/${nth}`, own)
      return branch({ ...playing, sent: (id) => void own.push(id) }, acts, `${key}/${nth}`)
    }),
  )
  return Effect.tap(raced, (winner) =>
    Effect.sync(() => {
      playing.stage.witness.recall(key, winner)
      for (const id of sent.get(winner) ?? []) playing.sent(id)
    }),
  )
}

/** @param key what finds the act again when the handler is run again, if it is a numbered one */
export const performAct = (
  playing: Playing,
  act: Exclude<Act, { readonly do: "emit" | "forward" | "gate" | "stash" }>,
  key: string,
): Done => {
  const { actor, cast } = playing
  switch (act.do) {
    case "sleep":
      return sleep(playing, act, key)
    case "all":
      return actor.all(act.branches.map((acts, nth) => branch(playing, acts, `${key}/${nth}`)))
    case "race":
      return race(playing, act, key)
    case "stream": {
      const talker = cast.talkRef(act.to)
      if (talker === undefined) return Effect.die(new Error(`${act.to} does not talk`))
      return Stream.runDrain(actor.stream(talker, "Talk", { script: act.script }, act.terms))
    }
    default:
      return inner(playing, act, key)
  }
}
