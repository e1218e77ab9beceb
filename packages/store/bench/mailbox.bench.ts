/**
 * Durable asks through the whole runtime, beside the same SQL in a plain loop without Effect: how much of the machine the
 * mailbox, the fibers and the supervision leave over. `npm run bench -- mailbox`.
 *
 * An ask on both sides: the message is appended (claimed, where its actor is free) and committed; then it is settled with a
 * reply, the actor's state is written, and that is committed; then the caller is told, and asks another actor.
 */
import { ACTORS, BODY_LENGTH, inFolder, PAUSE_EVERY, type Result } from "./askFor.ts"
import { runSystem } from "./benchSystem.ts"
import { plainLoop } from "./plainLoop.ts"

/** Of one run; the first quarter again before it, to warm up, is not counted. */
const SECONDS = 1.5

const runPlain = (callers: number): Promise<Result> =>
  inFolder(async (file) => {
    const options = { file, callers, actors: ACTORS, bodyLength: BODY_LENGTH }
    await plainLoop({ ...options, seconds: SECONDS / 4 })
    return plainLoop({ ...options, seconds: SECONDS })
  })

const metrics = ({ asksPerSecond, delayMs, p50Ms, p99Ms }: Result) => ({
  "asks/s": asksPerSecond,
  "p50 ms": p50Ms,
  "p99 ms": p99Ms,
  "loop delay p99 ms": delayMs,
})

export default {
  conditions: [
    "schema and indexes: Pontoon's own (packages/store/src/migrations), on both sides",
    "durability: WAL, synchronous=FULL, one transaction per turn of the event loop (ours: of 2 ms at most), on both sides",
    `actors: ${ACTORS}, chosen at random; body, reply and state ${BODY_LENGTH} characters of JSON, on both sides`,
    `arrivals: closed loop; a caller pauses for a turn at every ${PAUSE_EVERY}th ask (runtime), half start a turn later (plain)`,
    `${SECONDS} s a run after ${SECONDS / 4} s of warming up, in one process, a new file a run`,
  ],
  cases: [1, 64, 1_024].map((callers) => ({
    name: `${callers} callers`,
    peer: "the same SQL in a plain loop",
    runOurs: async () => metrics(await inFolder((file) => runSystem(file, callers, SECONDS))),
    runPeer: async () => metrics(await runPlain(callers)),
  })),
}
