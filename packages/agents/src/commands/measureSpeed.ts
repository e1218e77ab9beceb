/** The boundary from two variants of a model to their paces here, in turns, so that what else the machine does hits both. */
import { Effect } from "effect"
import { Engine } from "../engine/Engine.ts"
import type { ModelFolder } from "../inference/folder/modelFolder.ts"
import { benchRound, benchTexts, median } from "./benchModel.ts"
import type { ModelKind } from "./measureLoss.ts"

export interface SpeedRound {
  readonly concurrency: number
  /** Tokens or texts a second, medians. */
  readonly before: number
  readonly after: number
}

export interface Speed {
  readonly unit: "tokens" | "texts"
  readonly rounds: ReadonlyArray<SpeedRound>
}

const AT_ONCE = [1, 8]

/** Turns of each: the median of three is not thrown off by one hiccup. */
const TURNS = 3

const inTurns = Effect.fnUntraced(function* <E>(
  before: (concurrency: number) => Effect.Effect<number, E>,
  after: (concurrency: number) => Effect.Effect<number, E>,
) {
  // The first answer allocates what later ones find.
  yield* before(1)
  yield* after(1)
  const rounds: Array<SpeedRound> = []
  for (const concurrency of AT_ONCE) {
    const paces: Array<readonly [number, number]> = []
    for (let turn = 0; turn < TURNS; turn++) paces.push([yield* before(concurrency), yield* after(concurrency)])
    rounds.push({
      concurrency,
      before: median(paces.map(([pace]) => pace)),
      after: median(paces.map(([, pace]) => pace)),
    })
  }
  return rounds
})

const decoderPace = ({ dtype, folder }: ModelFolder) =>
  Effect.map(
    Engine.decoder({ folder, dtype, cachedConversationsMax: 0 }),
    ({ target }) =>
      (concurrency: number) =>
        Effect.map(benchRound(target, concurrency), ({ tokensPerSecond }) => tokensPerSecond),
  )

const encoderPace = ({ dtype, folder }: ModelFolder) =>
  Effect.map(
    Engine.encoder({ folder, dtype }),
    ({ target }) =>
      (concurrency: number) =>
        benchTexts(target, concurrency),
  )

const decoderSpeed = Effect.fnUntraced(function* (before: ModelFolder, after: ModelFolder) {
  return yield* inTurns(yield* decoderPace(before), yield* decoderPace(after))
})

const encoderSpeed = Effect.fnUntraced(function* (before: ModelFolder, after: ModelFolder) {
  return yield* inTurns(yield* encoderPace(before), yield* encoderPace(after))
})

/** Each variant in a process of its own, which ends with the measurement. */
export const measureSpeed = Effect.fnUntraced(function* (before: ModelFolder, after: ModelFolder, kind: ModelKind) {
  const speed: Speed =
    kind === "decoder"
      ? { unit: "tokens", rounds: yield* Effect.scoped(decoderSpeed(before, after)) }
      : { unit: "texts", rounds: yield* Effect.scoped(encoderSpeed(before, after)) }
  return speed
})
