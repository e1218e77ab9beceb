/**
 * Durable asks beside the peers that keep their messages in SQLite too: `npm run bench -- peers`.
 */
import { ACTORS, BODY_LENGTH, inFolder, PAUSE_EVERY, type Result } from "./askFor.ts"
import { runSystem } from "./benchSystem.ts"
import { runCluster } from "./peers/effectCluster.ts"
import { runPlainJob } from "./peers/plainJob.ts"

const SECONDS = 1.5

const metrics = ({ asksPerSecond, p50Ms, p99Ms }: Result) => ({
  "asks/s": asksPerSecond,
  "p50 ms": p50Ms,
  "p99 ms": p99Ms,
})

type Run = (file: string, callers: number, seconds: number) => Promise<Result>

const caseOf = (callers: number, peer: string, run: Run) => ({
  name: `${callers} callers`,
  peer,
  runOurs: async () => metrics(await inFolder((file) => runSystem(file, callers, SECONDS))),
  runPeer: async () => metrics(await inFolder((file) => run(file, callers, SECONDS))),
})

export default {
  conditions: [
    "ours: append, claim, reply and actor state, SQLite, WAL, synchronous=FULL, one transaction per turn of the loop",
    "Effect Cluster 4.1: persisted entity, its own SqlMessageStorage on node:sqlite, WAL, synchronous=FULL; no state on disk",
    "plainjob 0.0.14: add, work, done, better-sqlite3, WAL, synchronous=FULL (its default is NORMAL); no actors, no state, no reply",
    `actors: ${ACTORS} (ours and the cluster's), chosen at random; bodies of ${BODY_LENGTH} characters of JSON`,
    `arrivals: closed loop; a caller pauses for a turn at every ${PAUSE_EVERY}th ask`,
    `${SECONDS} s a run after ${SECONDS / 4} s of warming up, in one process, a new file a run`,
  ],
  cases: [1, 64, 1_024].flatMap((callers) => [
    caseOf(callers, "Effect Cluster 4.1", runCluster),
    caseOf(callers, "plainjob 0.0.14", runPlainJob),
  ]),
}
