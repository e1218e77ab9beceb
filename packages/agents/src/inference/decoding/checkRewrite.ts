/**
 * The boundary between a rewritten graph and trust in it: a few tokens are run through the graph as it is, alone, and
 * through the rewritten one as answers will run: in chunks, side by side, with holes. Both must come to the same logits
 * and the same cache. Nothing is concluded from names, because exporters differ in what they count positions by.
 *
 * Bounded: seven tokens, and room for as many as `ROOM_TOKENS_MAX` or `ROOM_BYTES_MAX` allow.
 */
import { CAPACITY_STEP } from "../cache/KvArena.ts"
import { type KvSegment, makeKvNumbers, shapeBytes } from "../cache/KvSegment.ts"
import type { KvTensor } from "../graph/DecoderGraph.ts"
import type { DecoderStep, KvSlot } from "./DecoderStep.ts"
import { widenHalves } from "./logitsOf.ts"

/** Wider than the local attention that models leave unmentioned in their configuration (GPT-Neo: 256). */
const ROOM_TOKENS_MAX = 512
/** Of cache for one row; three rows are there at once. */
const ROOM_BYTES_MAX = 64 * 1024 * 1024
/** Beyond this a window that the configuration names is not worth checking. */
const WINDOW_BYTES_MAX = 256 * 1024 * 1024
/** Rows of a probe: two that run and one that only takes room. */
export const PROBE_ROWS = 3

/**
 * Numbers may differ by this part of the greatest: sums of another order, in 32 bits 1e-5 after a dozen layers. Halves are
 * rounded at other places once operators are fused, and quantised activations fall on the other side of a step.
 */
const TOLERANCE = 1e-3
const TOLERANCE_COARSE = 2e-2

interface Stage {
  readonly logits: ReadonlyArray<Float32Array>
  readonly cache: ReadonlyArray<Float32Array>
}

export interface ProbePlan {
  readonly vocabSize: number
  /** Tokens to make room for before rows run side by side; 0 leaves it as it is. */
  readonly roomTokens: number
  /** Its numbers are 16-bit floats, or quantised. */
  readonly coarse: boolean
}

/** What a cache holds, in one piece, so that it does not matter whether keys and values are one tensor or two. */
const flatten = (segment: KvSegment | undefined): Float32Array => {
  const parts = (segment?.buffers ?? []).map((buffer) =>
    buffer instanceof Float32Array ? buffer : widenHalves(buffer),
  )
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

const makeRoom = (step: DecoderStep, kv: ReadonlyArray<KvTensor>, tokens: number): void => {
  const slot = step.open()
  const buffers = kv.map(({ headDim, heads, type }) => makeKvNumbers(type, heads * headDim * tokens))
  step.load(slot, [{ length: tokens, shapes: kv, buffers }])
  step.release(slot)
}

/**
 * Runs the probe.
 *
 * @param widen what to do before rows run side by side
 */
export const runProbe = async (
  step: DecoderStep,
  { vocabSize }: ProbePlan,
  widen: () => void = () => {},
): Promise<ReadonlyArray<Stage>> => {
  // Spread over the vocabulary: neighbours may be special tokens that mean little to the model.
  const token = (index: number) => Math.floor((vocabSize * (2 * index + 1)) / 16)
  const [long, short] = [step.open(), step.open()]
  const stage = async (rows: ReadonlyArray<readonly [KvSlot, ReadonlyArray<number>]>): Promise<Stage> => {
    const logits = await step.run(rows.map(([slot, tokenIds]) => ({ slot, tokenIds })))
    const cache = rows.map(([slot]) => flatten(step.save(slot, 0, slot.length)))
    return { logits: logits.map((row) => row.slice()), cache }
  }
  const stages = [
    await stage([[long, [token(0), token(1)]]]),
    await stage([[short, [token(2)]]]),
    await stage([[long, [token(3), token(4)]]]),
  ]
  widen()
  stages.push(
    await stage([
      [long, [token(5)]],
      [short, [token(6)]],
    ]),
  )
  step.release(long)
  step.release(short)
  return stages
}

/** The greatest difference as a part of the greatest number; infinite where one has numbers that the other has not. */
const difference = (a: ReadonlyArray<Float32Array>, b: ReadonlyArray<Float32Array>): number => {
  let apart = 0
  let greatest = Number.MIN_VALUE
  for (const [index, expected] of a.entries()) {
    const found = b[index]
    if (found?.length !== expected.length) return Number.POSITIVE_INFINITY
    for (const [at, value] of expected.entries()) {
      const gap = Math.abs(value - found[at]!)
      if (Number.isNaN(gap)) return Number.POSITIVE_INFINITY
      apart = Math.max(apart, gap)
      greatest = Math.max(greatest, Math.abs(value))
    }
  }
  return apart / greatest
}

/** The first stage at which two runs of the probe come apart, and by how much; undefined where they are alike. */
const findStage = (expected: ReadonlyArray<Stage>, found: ReadonlyArray<Stage>, plan: ProbePlan) => {
  const most = plan.coarse ? TOLERANCE_COARSE : TOLERANCE
  for (const [index, stage] of expected.entries()) {
    const apart = Math.max(
      difference(stage.logits, found[index]?.logits ?? []),
      difference(stage.cache, found[index]?.cache ?? []),
    )
    if (apart > most) return { index, apart }
  }
  return undefined
}

/** How much room to make; a clause where a window is too wide to be tried. */
export const planRoom = (
  kv: ReadonlyArray<KvTensor>,
  contextLength: number | undefined,
  slidingWindow: number | undefined,
): number | string => {
  const tokenBytes = kv.reduce((bytes, shape) => bytes + shapeBytes(shape), 0)
  const context = contextLength ?? Number.POSITIVE_INFINITY
  if (slidingWindow !== undefined && slidingWindow < context) {
    // Past the window by more than the probe's own tokens.
    const tokens = slidingWindow + 8
    if (tokens * tokenBytes <= WINDOW_BYTES_MAX) return Math.max(tokens, ROOM_TOKENS_MAX)
    return `its layers look back on ${slidingWindow} tokens, too many to try out whether they count holes`
  }
  // Rounded up, as the arena does it, room and the probe's own tokens must stay within the context: a graph that counts
  // holes as tokens would look up positions that it does not have.
  const tokens = Math.min(context - 8, ROOM_TOKENS_MAX, Math.floor(ROOM_BYTES_MAX / tokenBytes))
  return Math.max(0, Math.floor(tokens / CAPACITY_STEP) * CAPACITY_STEP)
}

/**
 * Runs the rewritten graph and compares.
 *
 * @param expected what the graph gave as it is
 * @param step takes at least `PROBE_ROWS` rows
 * @returns one clause where it came to something else
 */
export const checkRewrite = async (
  expected: ReadonlyArray<Stage>,
  step: DecoderStep,
  kv: ReadonlyArray<KvTensor>,
  plan: ProbePlan,
): Promise<string | undefined> => {
  const widen = () => {
    if (plan.roomTokens > 0) makeRoom(step, kv, plan.roomTokens)
  }
  const wrong = findStage(expected, await runProbe(step, plan, widen), plan)
  if (wrong === undefined) return undefined
  const by = `numbers differ by ${wrong.apart.toPrecision(2)} of the greatest`
  // Before there are holes, what differs can only be what was taken for the new rows.
  if (wrong.index < 2) return `it appends to its cache in a way that is not known (${by})`
  return `it counts holes in its cache as tokens, so only rows of equal length could share a step (${by})`
}

export type ProbeStages = ReadonlyArray<Stage>
