/**
 * What a long log costs: asks on a file of ten million messages that are done, beside asks on an empty one.
 * `npm run bench -- bigLog`. The file takes 4 GB and a few minutes to make, is made once, and goes with the process.
 */
import { mkdtempSync, rmSync, statfsSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openDatabase } from "../src/openDatabase.ts"
import { ACTORS, inFolder, type Result } from "./askFor.ts"
import { runSystem } from "./benchSystem.ts"

const ROWS = 10_000_000
const CHUNK = 500_000
const BODY_LENGTH = 64
const SECONDS = 1.5
/** Twice what the file and its log are expected to take. */
const FREE_BYTES_MIN = 12 * 1024 ** 3

/** Ids that are older than any that is made now, ascending as they were in life. */
const FILL = `insert into messages (id, actor_type, actor_id, task, codec, status, priority, attempt, created_at_ms,
    deliver_at_ms, started_at_ms, finished_at_ms, correlation_id, trace_id, body, reply)
  with recursive n (i) as (select ? union all select i + 1 from n where i < ?)
  select printf('00%024d', i), 'bench', i % ${ACTORS}, 'ask', 'json', 'done', 0, 1, i, i, i, i, printf('00%024d', i),
    printf('00%024d', i), ?, ? from n`

let made: string | undefined

const bigFile = (): string => {
  if (made !== undefined) return made
  const { bavail, bsize } = statfsSync(tmpdir())
  if (bavail * bsize < FREE_BYTES_MIN)
    throw new Error(`${tmpdir()} has less than ${FREE_BYTES_MIN / 1024 ** 3} GB free.`)
  const folder = mkdtempSync(join(tmpdir(), "pontoon-big-log-"))
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, "big.db")
  const { database, close } = openDatabase(file)
  // Only while it is filled: no power cut matters to it.
  database.pragma("synchronous = off")
  const fill = database.prepare(FILL)
  const body = JSON.stringify({ text: "x".repeat(BODY_LENGTH - '{"text":""}'.length) })
  for (let from = 1; from <= ROWS; from += CHUNK) fill.run(from, from + CHUNK - 1, body, body)
  database.pragma("wal_checkpoint(truncate)")
  close()
  made = file
  return file
}

const metrics = ({ asksPerSecond, p50Ms, p99Ms }: Result) => ({
  "asks/s": asksPerSecond,
  "p50 ms": p50Ms,
  "p99 ms": p99Ms,
})

export default {
  conditions: [
    `the log: ${ROWS.toLocaleString("en-US")} messages that are done, bodies and replies of ${BODY_LENGTH} characters, over ${ACTORS} actors`,
    "ours on both sides; schema, durability and load as in the benchmark mailbox; opening the file is not counted",
    `${SECONDS} s a run after ${SECONDS / 4} s of warming up, in one process; the long log is one file for all runs`,
  ],
  cases: [64, 1_024].map((callers) => ({
    name: `${callers} callers`,
    peer: "ours on an empty log",
    runOurs: async () => metrics(await runSystem(bigFile(), callers, SECONDS)),
    runPeer: async () => metrics(await inFolder((file) => runSystem(file, callers, SECONDS))),
  })),
}
