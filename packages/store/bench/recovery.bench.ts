/**
 * What a death left behind: a million pending messages over 100,000 actors, from the start of the process to the first
 * message run, and until all have run, beside the same SQL in a plain loop. `npm run bench -- recovery`.
 *
 * PONTOON_BENCH_MESSAGES sets another number of messages, with a tenth as many actors.
 */
import { execFile } from "node:child_process"
import { copyFileSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { openDatabase } from "../src/openDatabase.ts"

const MESSAGES = Number(process.env.PONTOON_BENCH_MESSAGES ?? 1_000_000)
const ACTORS = Math.ceil(MESSAGES / 10)
const BODY_LENGTH = 256
const CHILD = fileURLToPath(new URL("recoverBacklog.ts", import.meta.url))

/** The log as a death leaves it, made once; each run has a copy. */
let original: string | undefined

const makeOriginal = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-recovery-"))
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, "pending.db")
  const { close, database } = openDatabase(file)
  const body = JSON.stringify({ text: "x".repeat(BODY_LENGTH - '{"text":""}'.length) })
  database
    .prepare(
      `with recursive numbers (n) as (select 0 union all select n + 1 from numbers where n + 1 < ?)
       insert into messages (id, actor_type, actor_id, task, codec, status, priority, attempt, created_at_ms,
         deliver_at_ms, correlation_id, trace_id, body)
       select printf('m%09d', n), 'bench', printf('%d', (n * 7919) % ?), 'run', 'json', 'pending', 0, 0, 1, 1,
         printf('m%09d', n), 'trace', ? from numbers`,
    )
    .run(MESSAGES, ACTORS, body)
  database.pragma("wal_checkpoint(truncate)")
  close()
  return file
}

const measure = async (side: "runtime" | "plain"): Promise<Readonly<Record<string, number>>> => {
  original ??= makeOriginal()
  const folder = mkdtempSync(join(tmpdir(), "pontoon-recovery-"))
  try {
    const file = join(folder, "bench.db")
    copyFileSync(original, file)
    const { stdout } = await promisify(execFile)(process.execPath, [CHILD, side, file, `${MESSAGES}`])
    return JSON.parse(stdout) as Readonly<Record<string, number>>
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export default {
  conditions: [
    "schema and indexes: Pontoon's own, on both sides; durability: WAL, synchronous=FULL",
    `${MESSAGES} pending messages of ${BODY_LENGTH} characters over ${ACTORS} actors, in random order of actors`,
    "a process of its own each; its memory counts from its start, Node and SQLite included",
    "plain: 1,000 rows a transaction, claimed and settled in two",
  ],
  cases: [
    {
      name: `${MESSAGES} pending`,
      peer: "the same SQL in a plain loop",
      runOurs: () => measure("runtime"),
      runPeer: () => measure("plain"),
    },
  ],
}
