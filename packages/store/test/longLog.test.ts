/**
 * What a long log costs whoever opens it and looks into it, counted in bytes that are read and not in time: a log of 100,000
 * messages is opened, begun to be recovered and followed for what one of 1,000 costs.
 */
import { existsSync, readFileSync } from "node:fs"
import { Effect, type Scope } from "effect"
import { describe, expect, it } from "vitest"
import { openDatabase } from "../src/openDatabase.ts"
import { messagesQuery } from "../src/sql/reads.ts"
import { prepareStatements } from "../src/statements.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const COUNTER = "/proc/self/io"

/** Bytes that this process has read by calls of the system. */
const readBytes = (): number => Number(/rchar: (\d+)/.exec(readFileSync(COUNTER, "utf8"))?.[1])

const countReads = <A>(act: () => A): readonly [bytes: number, result: A] => {
  const before = readBytes()
  const result = act()
  return [readBytes() - before, result]
}

/** Messages that are done, with a key and a conversation, one in a hundred dead, and one that waits at the end. */
const longLog = (count: number) =>
  Effect.map(temporaryFile, (file) => {
    const { close, database } = openDatabase(file)
    const insert = database.prepare<[number, number, string]>(
      `with recursive n (n) as (select ? union all select n + 1 from n where n < ?)
       insert into messages (id, actor_type, actor_id, task, codec, status, priority, attempt, created_at_ms, deliver_at_ms,
         finished_at_ms, correlation_id, idempotency_key, idempotency_scope, trace_id, body, reply)
       select printf('m%08d', n), 'barista', n % 100, 'brew', 'json', iif(n % 100 = 0, 'dead', 'done'), 0, 1, n, n, n,
         printf('m%08d', n - n % 10), n, 'actor barista/' || (n % 100), 't', ?, '"done"' from n`,
    )
    insert.run(1, count, `{"text":"${"x".repeat(100)}"}`)
    database.exec(
      `insert into messages (id, actor_type, actor_id, task, codec, status, priority, attempt, created_at_ms, deliver_at_ms,
         correlation_id, trace_id, body) values ('last', 'barista', '1', 'brew', 'json', 'pending', 0, 0, 0, 0, 'last', 't', '{}')`,
    )
    close()
    return file
  })

/** Bytes read by each thing that somebody waits for, in a process that has looked at nothing of the file yet. */
const costs = (file: string): Readonly<Record<string, number>> => {
  const [open, { close, database }] = countReads(() => openDatabase(file))
  const statements = prepareStatements(database)
  const query = (filter: Parameters<typeof messagesQuery>[0]) => {
    const { parameters, sql } = messagesQuery(filter)
    return database.prepare<Array<string | number>, { readonly id: string }>(sql).all(...parameters)
  }
  const [recover, unfinished] = countReads(() => statements.unfinished.all(0, 1_000))
  expect(unfinished.map(({ id }) => id)).toEqual(["last"])
  const [newest] = countReads(() => query({ newest: true, limit: 50 }))
  const [follow, none] = countReads(() => query({ afterSeq: unfinished[0]!.seq, limit: 500 }))
  expect(none).toEqual([])
  const [dead] = countReads(() => query({ status: "dead", newest: true, limit: 5 }))
  const [conversation, members] = countReads(() => query({ correlationId: "m00000500", limit: 50 }))
  expect(members.length).toBe(10)
  close()
  return { open, recover, newest, follow, dead, conversation }
}

describe.skipIf(!existsSync(COUNTER))("a long log", () => {
  it("costs no more than a short one, but for the depth of its trees", () =>
    run(
      Effect.gen(function* () {
        const short = costs(yield* longLog(1_000))
        const long = costs(yield* longLog(100_000))
        // A page more on each way down a tree; a scan would be of 30 MB.
        const page = 4_096
        for (const [what, bytes] of Object.entries(long)) {
          expect([what, bytes <= short[what]! + 64 * page]).toEqual([what, true])
        }
      }),
    ))

  it("the count sees a scan", () =>
    run(
      Effect.gen(function* () {
        const { close, database } = openDatabase(yield* longLog(20_000))
        const [bytes] = countReads(() => database.prepare("select count(*) from messages where body = 'x'").get())
        close()
        expect(bytes > 4_000_000).toBe(true)
      }),
    ))
})
