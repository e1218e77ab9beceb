/**
 * How SQLite finds the rows of every query that recovery, a mailbox, a duplicate or a reader waits for. A plan that scans
 * a table is invisible on a small log and takes seconds at ten million rows.
 */
import type { MessageFilter } from "@pontoon/runtime"
import { append, appendClaimed, settle } from "@pontoon/runtime/testing"
import type { Database } from "better-sqlite3"
import { Effect, Exit, Scope } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Appends, applyWrites } from "../src/applyWrites.ts"
import { openDatabase } from "../src/openDatabase.ts"
import * as messages from "../src/sql/messages.ts"
import * as reads from "../src/sql/reads.ts"
import * as records from "../src/sql/records.ts"
import { prepareStatements } from "../src/statements.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const scope = Effect.runSync(Scope.make())
let database: Database

beforeAll(async () => {
  const file = await Effect.runPromise(Scope.provide(temporaryFile, scope))
  const opened = openDatabase(file)
  database = opened.database
  Effect.runSync(Scope.addFinalizer(scope, Effect.sync(opened.close)))
  const statements = prepareStatements(database)
  const rows = Array.from({ length: 2_000 }, (_, n) => [
    appendClaimed(`m${n}`, { idempotencyKey: n % 2 === 0 ? `${n}` : null, correlationId: `m${n % 100}` }),
    settle(`m${n}`, 1, n % 50 === 0 ? "dead" : "done"),
  ]).flat()
  statements.begin.run()
  applyWrites(statements, [...rows, append("u1"), appendClaimed("u2")], new Appends())
  statements.commit.run()
})

afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

const planOf = (sql: string): string => {
  const parameters = Array.from(sql.matchAll(/\?/g), () => null)
  return database
    .prepare<Array<null>, { readonly detail: string }>(`explain query plan ${sql}`)
    .all(...parameters)
    .map(({ detail }) => detail)
    .join("\n")
}

/** A scan of a table; a scan of an index that holds only the rows asked for, or of a subquery's result, is none. */
const scans = (plan: string): Array<string> =>
  plan
    .split("\n")
    .filter((line) =>
      /^SCAN (messages|m|p|actors|steps|chunks|attempts|routes|lifecycle_events)\b(?! USING)/.test(line),
    )

const filtered = (filter: Omit<MessageFilter, "limit">): string => reads.messagesQuery({ limit: 10, ...filter }).sql

const plans: ReadonlyArray<readonly [string, string, string]> = [
  ["recovery", messages.UNFINISHED, "SEARCH messages USING INDEX messages_unfinished (seq>?)"],
  ["dead letters", messages.DEAD_LETTERS, "SEARCH messages USING INDEX messages_unanswered (status=? AND seq>?)"],
  ["a census", messages.CENSUS, "SEARCH messages USING INDEX messages_unfinished (seq>?)"],
  ["the last message", messages.LAST_SEQ, "SEARCH messages"],
  ["what is due at a time", messages.DUE_AT, "SEARCH messages USING INDEX messages_due (deliver_at_ms=? AND rowid>?)"],
  ["what is due after it", messages.DUE_AFTER, "SEARCH messages USING INDEX messages_due (deliver_at_ms>?)"],
  ["a message by id", messages.MESSAGE_BY_ID, "SEARCH messages USING INDEX sqlite_autoindex_messages_1 (id=?)"],
  [
    "a duplicate by key",
    messages.MESSAGE_BY_KEY,
    "SEARCH messages USING INDEX messages_idempotency (idempotency_scope=? AND task=? AND idempotency_key=?)",
  ],
  [
    "a key that passes on",
    messages.FREE_KEY,
    "SEARCH messages USING INDEX messages_idempotency (idempotency_scope=? AND task=? AND idempotency_key=?)",
  ],
  ["a claim", messages.CLAIM, "SEARCH messages USING INDEX sqlite_autoindex_messages_1 (id=?)"],
  ["a retry", messages.RETRY, "SEARCH messages USING INDEX sqlite_autoindex_messages_1 (id=?)"],
  ["a reroute", messages.REROUTE, "SEARCH messages USING INDEX sqlite_autoindex_messages_1 (id=?)"],
  ["a settlement", messages.SETTLE, "SEARCH messages USING INDEX sqlite_autoindex_messages_1 (id=?)"],
  ["a fence", messages.IS_RUNNING, "SEARCH messages USING INDEX sqlite_autoindex_messages_1 (id=?)"],
  ["an attempt's record", messages.RECORD_ATTEMPT, "SEARCH messages USING INDEX sqlite_autoindex_messages_1 (id=?)"],
  ["an actor", records.ACTOR, "SEARCH actors USING PRIMARY KEY (actor_type=? AND actor_id=?)"],
  ["who is suspended", records.SUSPENDED, "SEARCH actors USING INDEX actors_suspended ((actor_type,actor_id)>(?,?))"],
  [
    "an actor's crashes",
    records.CRASHES,
    "SEARCH lifecycle_events USING INDEX lifecycle_events_actor (actor_type=? AND actor_id=? AND at_ms>?)",
  ],
  ["an actor's watchers", records.WATCHERS, "SEARCH watches USING PRIMARY KEY (watched_type=? AND watched_id=?)"],
  [
    "an actor's watches",
    records.WATCHES_OF,
    "SEARCH watches USING INDEX watches_watcher (watcher_type=? AND watcher_id=?)",
  ],
  [
    "watches of the ended",
    records.ENDED_WATCHES,
    "SEARCH actors EXISTS USING PRIMARY KEY (actor_type=? AND actor_id=?)",
  ],
  ["steps", records.STEPS, "SEARCH steps USING PRIMARY KEY (message_id=?)"],
  ["chunks", records.CHUNKS, "SEARCH chunks USING PRIMARY KEY (message_id=? AND ordinal>?)"],
  ["attempts", reads.ATTEMPTS, "SEARCH attempts USING PRIMARY KEY (message_id=?)"],
  ["lifecycle events", reads.LIFECYCLE, "SEARCH lifecycle_events USING INTEGER PRIMARY KEY (rowid>?)"],
  [
    "what an actor was",
    reads.LIFECYCLE_OF,
    "SEARCH lifecycle_events USING INDEX lifecycle_events_actor (actor_type=? AND actor_id=? AND at_ms<?)",
  ],
  [
    "what was accepted around a message",
    filtered({ afterSeq: 5, beforeSeq: 9, actorType: "barista" }),
    "SEARCH messages USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
  ],
  ["routes of a message", reads.routesQuery({ messageId: "m" }, 9).sql, "USING INDEX routes_message (message_id=?)"],
  ["routes of a pool", reads.routesQuery({ pool: "p" }, 9).sql, "USING INDEX routes_pool (pool=?)"],
  ["mailboxes", reads.MAILBOX, "SCAN messages USING INDEX messages_unfinished"],
  ["latency", reads.LATENCY, "SEARCH messages USING INTEGER PRIMARY KEY (rowid>?)"],
  ["what is pending", filtered({ status: "pending" }), "USING INDEX messages_unfinished"],
  ["what is running", filtered({ status: "running", newest: true }), "USING INDEX messages_unfinished"],
  ["what died", filtered({ status: "dead" }), "USING INDEX messages_unanswered (status=?"],
  ["what failed after", filtered({ status: "failed", afterSeq: 5 }), "USING INDEX messages_unanswered (status=?"],
  ["a conversation", filtered({ correlationId: "m1" }), "USING INDEX messages_conversation (correlation_id=?)"],
  ["what came after", filtered({ afterSeq: 5 }), "SEARCH messages USING INTEGER PRIMARY KEY (rowid>?)"],
  ["dead letters", "select * from dead_letters", "USING INDEX messages_unanswered (status=?)"],
  [
    "the tree of a conversation",
    "select * from conversation where correlation_id = ? order by path",
    "USING INDEX messages_conversation (correlation_id=?)",
  ],
]

describe("every query finds its rows", () => {
  it.each(plans)("%s", (_, sql, expected) => {
    const plan = planOf(sql)
    expect(plan).toContain(expected)
    expect(scans(plan)).toEqual([])
  })

  it("the check sees a scan", () => {
    expect(scans(planOf("select * from messages where body = ?"))).toEqual(["SCAN messages"])
  })

  it("the planner's choices do not hang on statistics", () => {
    database.exec("analyze")
    for (const [, sql, expected] of plans) expect(planOf(sql)).toContain(expected)
  })
})
