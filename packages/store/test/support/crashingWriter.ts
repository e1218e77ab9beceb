/**
 * A process that dies while it writes. argv: FILE, the crash point to die at (or `none`, to be killed from outside), and
 * which occurrence of it.
 *
 * Each of its callers writes one chain of commits: the n-th appends message `c-n` claimed, records a step of it, puts n
 * into the caller's actor, and settles `c-(n-1)`. What was acknowledged goes to standard output, a line `c n` each.
 */
import { CrashPoints, type Write } from "@pontoon/runtime"
import { appendClaimed, putActor, recordStep, settle } from "@pontoon/runtime/testing"
import { Effect } from "effect"
import { SqliteStore } from "../../src/index.ts"
import { say } from "./say.ts"

const [, , file = "", point = "none", occurrence = "1", checkpoint = "commit"] = process.argv
const CALLERS = 16

let left = Number(occurrence)
const crash = (passed: string): void => {
  if (passed === point && --left === 0) process.kill(process.pid, "SIGKILL")
}

const commitOf = (caller: number, n: number): ReadonlyArray<Write> => [
  appendClaimed(`${caller}-${n}`, { idempotencyKey: `${n}`, actorId: `${caller}` }),
  recordStep(`${caller}-${n}`, 0),
  putActor({ type: "barista", id: `${caller}` }, `${n}`),
  ...(n === 0 ? [] : [settle(`${caller}-${n - 1}`)]),
]

// However slow the machine is, one turn's commits share a transaction: the tests count them.
const options = { checkpoint: checkpoint === "thread" ? "thread" : "commit", flushMsMax: 1_000 } as const

await SqliteStore.make(file, options).pipe(
  Effect.flatMap((store) =>
    Effect.all(
      Array.from({ length: CALLERS }, (_, caller) =>
        Effect.gen(function* () {
          for (let n = 0; n < 100_000; n++) {
            yield* store.commit(commitOf(caller, n))
            say(`${caller} ${n}`)
          }
        }),
      ),
      { concurrency: "unbounded" },
    ),
  ),
  Effect.provideService(CrashPoints, crash),
  Effect.scoped,
  Effect.runPromise,
)
