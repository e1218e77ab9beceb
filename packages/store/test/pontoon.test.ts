/** The `pontoon` command as a child process, word for word; misuse first. */
import { execFileSync, spawn } from "node:child_process"
import { readdirSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { append, appendClaimed, claim, settle } from "@pontoon/runtime/testing"
import Database from "better-sqlite3"
import { Effect, Exit, Scope } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { SqliteStore } from "../src/index.ts"
import { startChild } from "./support/childProcess.ts"
import { PONTOON, runPontoon } from "./support/runPontoon.ts"
import { SAMPLE_WRITES } from "./support/sampleLog.ts"
import { temporaryFolder } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const whole = Effect.runSync(Scope.make())
let folder: string
let file: string

beforeAll(async () => {
  folder = await Effect.runPromise(Scope.provide(temporaryFolder, whole))
  file = join(folder, "sample.db")
  await run(Effect.flatMap(SqliteStore.make(file), (store) => store.commit(SAMPLE_WRITES)))
})

afterAll(() => Effect.runPromise(Scope.close(whole, Exit.void)))

const shown = (text: string): Array<string> => text.trimEnd().split("\n")

describe("1 misuse", () => {
  const refused = (args: () => ReadonlyArray<string>, message: () => string) =>
    run(
      Effect.gen(function* () {
        expect(yield* runPontoon(...args())).toEqual({ out: "", err: `pontoon: ${message()}\n`, code: 1 })
      }),
    )

  it("a missing file", () =>
    refused(
      () => ["log", "--db", join(folder, "none.db")],
      () => `There is no file ${join(folder, "none.db")}; give the path of a Pontoon log with --db FILE.`,
    ))

  it("a file that is no database", () => {
    const path = join(folder, "text.db")
    writeFileSync(path, "nothing of the kind ".repeat(100))
    return refused(
      () => ["actors", "--db", path],
      () =>
        `${path} is not a readable SQLite database (file is not a database); restore it from a backup, or give another file.`,
    )
  })

  it("an empty file", () => {
    const path = join(folder, "empty.db")
    writeFileSync(path, "")
    return refused(
      () => ["stats", "--db", path],
      () => `${path} is empty: no Pontoon log has been written to it yet.`,
    )
  })

  it("a log of a newer version", () => {
    const path = join(folder, "newer.db")
    const database = new Database(path)
    database.exec("create table messages (x); pragma user_version = 7; pragma application_id = 0x504f4e54")
    database.close()
    return refused(
      () => ["dead", "--db", path],
      () =>
        `${path} is a log of version 7 and this @pontoon/store reads up to version 3; update @pontoon/store, or give another file.`,
    )
  })

  it("a life of nobody", () =>
    refused(
      () => ["dead", "nobody", "--db", file],
      () => `${file} has no message nobody; pontoon dead lists its dead letters.`,
    ))

  it("a name that nothing has", () =>
    refused(
      () => ["trace", "nobody", "--db", file],
      () =>
        `${file} has no message, conversation or actor nobody; pontoon log lists its messages, pontoon actors its actors (as type/id).`,
    ))

  it("a limit out of range, a missing argument, an unknown command", () =>
    run(
      Effect.gen(function* () {
        for (const args of [["log", "--limit", "0"], ["log", "--limit", "10001"], ["trace"], ["frobnicate"]]) {
          const { out, err, code } = yield* runPontoon(...args)
          expect([out, code]).toEqual(["", 1])
          expect(err).toMatch(/^pontoon: [^\n]+ See pontoon[ a-z]* --help\.\n$/)
        }
      }),
    ))
})

describe("2 what it prints, away from a terminal", () => {
  const printed = (args: ReadonlyArray<string>, lines: ReadonlyArray<string>) =>
    run(
      Effect.gen(function* () {
        const { out, err, code } = yield* runPontoon(...args, "--db", file)
        expect([err, code]).toEqual(["", 0])
        expect(shown(out)).toEqual(lines)
      }),
    )

  it("log", () =>
    printed(
      ["log", "--limit", "4"],
      [
        "SEQ\tACCEPTED\tID\tACTOR\tTASK\tSTATUS\tTRIES\tTOOK\tBODY",
        '2\t2026-01-01T00:00:00.003Z\t01ROOT.1\tbarista/2\tbrew\tdone\t2\t1.25 s\t{"drink":"flat white"}',
        // The text's terminal command is gone.
        "3\t2026-01-01T00:00:00.030Z\t01ROOT.1.0\tcashier/1\tpay\tpending\t0\t\t4.20 € [31m red",
        '4\t2026-01-01T00:00:02.000Z\t02DEAD\tbarista/1\tbrew\tdead\t2\t30 ms\t{"text":"Tea"}',
        "5\t2026-01-01T00:00:03.000Z\t03LATE\tbarista/2\tbrew\trunning\t1\t\t{}",
      ],
    ))

  it.each(["01ROOT", "01ROOT.1.0", "conversation/c/1"])("trace %s: by message, correlation or actor", (name) =>
    printed(
      ["trace", name],
      [
        "conversation 01ROOT, 2026-01-01T00:00:00.000Z, 3 messages",
        "+0 ms       conversation/c/1 ask, done, 1 try, 1.26 s",
        '              body  {"text":"A flat white, please"}',
        '              reply "Here you are"',
        "+3 ms         barista/2 brew, done, 2 tries, 1.25 s, bar → barista/2 (barista/1 failed)",
        "                routed bar → barista/1 (least loaded)",
        "                try 1 failed on barista/1 after 17 ms: Boom: attempt 1",
        '                body  {"drink":"flat white"}',
        '                reply {"ready":true}',
        "+30 ms          cashier/1 pay, pending, 0 tries",
        "                  body  4.20 € [31m red",
      ],
    ),
  )

  it("trace of an actor in several conversations, cut at its limit", () =>
    printed(
      ["trace", "barista/2", "--limit", "2"],
      [
        "conversation 01ROOT, 2026-01-01T00:00:00.000Z, 2 messages",
        "+0 ms       conversation/c/1 ask, done, 1 try, 1.26 s",
        '              body  {"text":"A flat white, please"}',
        '              reply "Here you are"',
        "+3 ms         barista/2 brew, done, 2 tries, 1.25 s, bar → barista/2 (barista/1 failed)",
        "                routed bar → barista/1 (least loaded)",
        "                try 1 failed on barista/1 after 17 ms: Boom: attempt 1",
        '                body  {"drink":"flat white"}',
        '                reply {"ready":true}',
        "There is more; raise --limit to see it.",
      ],
    ))

  it("actors", () =>
    printed(
      ["actors"],
      [
        "ACTOR\tLIFECYCLE\tVERSION\tRESTARTS\tUPDATED\tSTATE",
        "barista/1\tfailed\t1\t3\t2026-01-01T00:00:02.030Z\t",
        'conversation/c/1\tready\t2\t0\t2026-01-01T00:00:01.260Z\t{"turns":1}',
      ],
    ))

  it("mailbox", () =>
    run(
      Effect.gen(function* () {
        const { out } = yield* runPontoon("mailbox", "--db", file)
        expect(shown(out).map((line) => line.split("\t").slice(0, 4))).toEqual([
          ["ACTOR", "PENDING", "RUNNING", "OLDEST"],
          ["cashier/1", "1", "0", "2026-01-01T00:00:00.030Z"],
          ["barista/2", "0", "1", "2026-01-01T00:00:03.000Z"],
        ])
      }),
    ))

  it("dead", () =>
    printed(
      ["dead"],
      [
        "SEQ\tDIED\tID\tACTOR\tTASK\tTRIES\tFAILED ON\tWHY",
        "4\t2026-01-01T00:00:02.030Z\t02DEAD\tbarista/1\tbrew\t2\tbarista/1, barista/1\tBoom: no milk",
      ],
    ))

  const life = [
    "message 02DEAD, barista/1 brew, dead after 2 tries",
    "+0 ms       accepted 2026-01-01T00:00:02.000Z from outside",
    '              body {"text":"Tea"}',
    "+10 ms      try 1 failed on barista/1 after 10 ms: Boom: attempt 1",
    "              barista/1 was failed since 2026-01-01T00:00:00.000Z: no milk",
    "+30 ms      try 2 failed on barista/1 after 10 ms: Boom: no milk",
    "              barista/1 was failed since 2026-01-01T00:00:00.000Z: no milk",
    "+30 ms      dead",
    "diagnosis",
    "  It failed 2 times on 2 different errors within 30 ms, the last Boom: no milk.",
  ]
  it("dead ID: the life of one, and what it comes to", () => printed(["dead", "02DEAD"], life))
  it("dead --why: the lives of all", () => printed(["dead", "--why"], life))

  it("dead of a message that is none, however it ended", () =>
    printed(
      ["dead", "01ROOT.1"],
      [
        "message 01ROOT.1, barista/2 brew, done after 2 tries",
        "+0 ms       accepted 2026-01-01T00:00:00.003Z from conversation/c/1",
        '              body {"drink":"flat white"}',
        "+0 ms       routed bar → barista/1 for try 1 (least loaded)",
        "+17 ms      try 1 failed on barista/1 after 17 ms: Boom: attempt 1",
        "              barista/1 was failed since 2026-01-01T00:00:00.000Z: no milk",
        "+17 ms      routed bar → barista/2 for try 2 (barista/1 failed)",
        "+1.25 s     done",
        "diagnosis",
        "  It was answered at attempt 2.",
      ],
    ))

  it("routes, of all messages and of one", () =>
    run(
      Effect.gen(function* () {
        const lines = [
          "SEQ\tAT\tMESSAGE\tTRY\tPOOL\tCHOSEN\tREASON",
          "1\t2026-01-01T00:00:00.003Z\t01ROOT.1\t1\tbar\tbarista/1\tleast loaded",
          "2\t2026-01-01T00:00:00.020Z\t01ROOT.1\t2\tbar\tbarista/2\tbarista/1 failed",
        ]
        expect(shown((yield* runPontoon("routes", "--db", file)).out)).toEqual(lines)
        expect(shown((yield* runPontoon("routes", "--message", "01ROOT.1", "--db", file)).out)).toEqual(lines)
        expect(shown((yield* runPontoon("routes", "--message", "02DEAD", "--db", file)).out)).toEqual([lines[0]])
      }),
    ))

  it("stats", () =>
    run(
      Effect.gen(function* () {
        const { out, err } = yield* runPontoon("stats", "--db", file)
        // Of the time of opening and closing nothing can be said here.
        expect([err, shown(out).map((line) => line.replace(/\t20[-0-9T:.]+Z/, "\tat"))]).toEqual([
          "",
          [
            "STATUS\tMESSAGES",
            "done\t2",
            "pending\t1",
            "running\t1",
            "dead\t1",
            "",
            "ACTOR TYPE\tTASK\tANSWERED\tP50\tP95\tP99",
            "barista\tbrew\t1\t1.25 s\t1.25 s\t1.25 s",
            "conversation\task\t1\t1.26 s\t1.26 s\t1.26 s",
            "",
            "FILE\tIS\tSINCE\tDETAIL",
            "open\tclosed\tat\t",
            "synchronous\tfull\tat",
          ],
        ])
      }),
    ))

  it("--json: one object per line, whatever the command", () =>
    run(
      Effect.gen(function* () {
        const objects = (...args: ReadonlyArray<string>) =>
          Effect.map(
            runPontoon(...args, "--json", "--db", file),
            ({ out }): Array<unknown> => shown(out).map((line) => JSON.parse(line)),
          )
        expect(yield* objects("log", "--limit", "1")).toMatchObject([{ seq: 5, id: "03LATE", body: "{}" }])
        expect(yield* objects("trace", "01ROOT")).toMatchObject([
          { depth: 0, offsetMs: 0, id: "01ROOT", reply: '"Here you are"', routes: [], attempts: [] },
          {
            depth: 1,
            offsetMs: 3,
            id: "01ROOT.1",
            routes: [{ attempt: 1 }, { attempt: 2 }],
            attempts: [{ attempt: 1 }],
          },
          { depth: 2, offsetMs: 30, id: "01ROOT.1.0", body: "4.20 €\u001b[31m\tred" },
        ])
        expect(yield* objects("dead")).toMatchObject([{ id: "02DEAD", attempts: [{ attempt: 1 }, { attempt: 2 }] }])
        expect(yield* objects("dead", "02DEAD")).toMatchObject([
          {
            message: { id: "02DEAD", status: "dead" },
            attempts: [{ attempt: 1, target: "barista/1", lifecycle: { state: "failed" } }, { attempt: 2 }],
            diagnosis: [{ cause: "varied" }],
          },
        ])
        expect(yield* objects("routes", "--pool", "bar", "--limit", "1")).toMatchObject([
          { evidence: '{"queue":[0,1]}' },
        ])
        expect((yield* objects("stats")).length).toBe(8)
        expect((yield* objects("mailbox")).length).toBe(2)
        expect((yield* objects("actors")).length).toBe(2)
      }),
    ))
})

describe("3 beside an owner, and after one", () => {
  it("reads while the owner writes, and takes no lock: the owner's file is as it was", () =>
    run(
      Effect.gen(function* () {
        const path = join(folder, "live.db")
        const store = yield* SqliteStore.make(path)
        for (let n = 0; n < 5; n++) {
          yield* store.commit([appendClaimed(`m${n}`)])
          const { out } = yield* runPontoon("log", "--db", path)
          expect(shown(out).length).toBe(n + 2)
        }
        yield* store.commit([settle("m0")])
        const { out } = yield* runPontoon("stats", "--db", path)
        expect(out).toContain("done\t1\nrunning\t4")
        // A repeated key is no message.
        const keyed = { idempotencyKey: "k" }
        yield* store.commit([append("m5", keyed)])
        yield* store.commit([append("m6", keyed)])
        yield* store.commit([append("m7")])
        const repeated = yield* runPontoon("stats", "--db", path)
        expect(repeated.out).toContain("done\t1\npending\t2\nrunning\t4")
      }),
    ))

  it("reads what a killed owner left in its write-ahead log, without becoming an owner", () =>
    run(
      Effect.gen(function* () {
        const path = join(folder, "killed.db")
        const child = yield* startChild("crashingWriter.ts", [path, "commit.done", "3"])
        yield* Effect.promise(() => child.ended)
        expect(statSync(`${path}-wal`).size > 0).toBe(true)
        const owner = statSync(`${path}.owner`).mtimeMs
        const { out, err } = yield* runPontoon("log", "--db", path, "--limit", "100")
        expect(err).toBe("")
        expect(shown(out).length).toBe(1 + 3 * 16)
        expect(statSync(`${path}.owner`).mtimeMs).toBe(owner)
        expect(
          readdirSync(folder)
            .filter((name) => name.startsWith("killed.db"))
            .sort(),
        ).toEqual(["killed.db", "killed.db-shm", "killed.db-wal", "killed.db.owner"])
      }),
    ))

  it("log --follow prints a message when it is accepted, and again when it ends", () =>
    run(
      Effect.gen(function* () {
        const path = join(folder, "followed.db")
        const store = yield* SqliteStore.make(path)
        yield* store.commit([append("first")])
        const child = yield* startChild("../../bin/pontoon.ts", ["log", "--follow", "--json", "--db", path])
        const next = Effect.map(Effect.promise(child.line), (line) => {
          const { id, status } = JSON.parse(line!)
          return `${id} ${status}`
        })
        expect(yield* next).toBe("first pending")
        yield* store.commit([append("second"), claim("first")])
        expect(yield* next).toBe("second pending")
        yield* store.commit([settle("first"), append("third")])
        expect(yield* next).toBe("first done")
        expect(yield* next).toBe("third pending")
      }),
    ))

  it("ends quietly when its reader goes away", async () => {
    const path = join(folder, "long.db")
    await run(
      Effect.flatMap(SqliteStore.make(path), (store) =>
        store.commit(Array.from({ length: 5_000 }, (_, n) => append(`m${n}`, { body: "x".repeat(100) }))),
      ),
    )
    const child = spawn(process.execPath, [PONTOON, "log", "--limit", "5000", "--db", path], {
      stdio: ["ignore", "pipe", "pipe"],
    })
    let err = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err += text
    })
    child.stdout.once("data", () => child.stdout.destroy())
    const code = await new Promise((resolve) => child.on("close", resolve))
    expect([err, code]).toEqual(["", 0])
  })
})

describe("4 plain SQL", () => {
  const ask = (sql: string): string => execFileSync("sqlite3", ["-json", file, sql], { encoding: "utf8" })

  it("the views answer in an operator's own sqlite3", () => {
    expect(
      JSON.parse(ask("select id, depth, path from conversation where correlation_id = '01ROOT' order by path")),
    ).toEqual([
      { id: "01ROOT", depth: 0, path: "000000000001" },
      { id: "01ROOT.1", depth: 1, path: "000000000001/000000000002" },
      { id: "01ROOT.1.0", depth: 2, path: "000000000001/000000000002/000000000003" },
    ])
    const [letter] = JSON.parse(ask("select * from dead_letters"))
    expect(letter).toMatchObject({
      ...{ id: "02DEAD", pool: null, lifecycle: "failed", redrives: 0 },
      ...{ error_tag: "Boom", error_message: "no milk" },
    })
    expect(JSON.parse(letter.history)).toMatchObject([
      { attempt: 1, actor: "barista/1", lifecycle: "failed", error: { message: "attempt 1" } },
      { attempt: 2, actor: "barista/1", lifecycle: "failed", error: { message: "no milk" } },
    ])
    expect(JSON.parse(ask("select actor_type, pending, running, age_ms > 0 as waits from mailbox order by 1"))).toEqual(
      [
        { actor_type: "barista", pending: 0, running: 1, waits: 1 },
        { actor_type: "cashier", pending: 1, running: 0, waits: 1 },
      ],
    )
    expect(JSON.parse(ask("select * from latency"))).toMatchObject([
      { actor_type: "barista", task: "brew", count: 1, p50_ms: 1250, p99_ms: 1250 },
      { actor_type: "conversation", task: "ask", p95_ms: 1260 },
    ])
  })
})
