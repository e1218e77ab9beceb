/** `npm run demo` from outside: what it prints, what its file holds afterwards, and what the `pontoon` command makes of it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DEMO, type Ended, PONTOON, query, run } from "./programs.ts"

/** Far above what a play takes; only what hangs is ended by it. */
const PLAY_MS_MAX = 240_000
const folder = mkdtempSync(join(tmpdir(), "pontoon-demo-e2e-"))
const db = join(folder, "demo.db")
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The log is a public interface: the columns that must be there. */
const COLUMNS: Readonly<Record<string, string>> = {
  messages:
    "seq id actor_type actor_id task codec status priority attempt created_at_ms deliver_at_ms deadline_at_ms started_at_ms finished_at_ms sender correlation_id causation_id idempotency_key trace_id body reply error",
  actors: "actor_type actor_id lifecycle state version restarts updated_at_ms",
  lifecycle_events: "seq actor_type actor_id from_state to_state event reason at_ms",
  routes: "seq message_id attempt pool chosen reason evidence at_ms",
  steps: "message_id ordinal name result at_ms",
  chunks: "message_id attempt ordinal data at_ms",
  feedback: "message_id score label source at_ms",
}
const VIEWS = ["mailbox", "dead_letters", "conversation", "latency"]

let played: Ended
beforeAll(async () => {
  played = await run(DEMO, ["--once", "--db", db], folder)
}, PLAY_MS_MAX)

describe("a play, away from a terminal", () => {
  it("1. exits with 0, and says that nothing was lost or doubled", () => {
    expect(played).toMatchObject({ status: 0, err: "" })
    expect(played.out).toMatch(/^\d+ messages accepted: (\d+) done, 0 failed, 0 dead, 0 lost, 0 doubled$/m)
    expect(played.out).toMatch(/^-- kill -9 \d+: barista\S*\/. is gone in mid-answer\.$/m)
    expect(played.out).toContain("Both answers are equal, byte for byte.")
    expect(played.out).toMatch(/^-- kill -9 \d+: the program is gone; [1-9]\d* customers have no answer\./m)
    expect(played.out).toMatch(/^-- All [1-9]\d* have their answer now\.$/m)
  })
  it("2. writes plain lines", () => {
    for (const control of ["\x1b", "\r"]) expect(played.out).not.toContain(control)
    expect(played.out.split("\n").find((line) => line.startsWith("messages 83/83"))).toBeDefined()
  })
  it("3. names three commands that work", async () => {
    const commands = played.out.split("\n").filter((line) => line.startsWith("  "))
    expect(commands).toHaveLength(3)
    const [trace, routes, sql] = commands.map((line) => line.trim())
    expect(trace).toMatch(new RegExp(`^npm run -s pontoon -- trace \\S+ --db ${db}$`))
    expect(routes).toBe(`npm run -s pontoon -- routes --db ${db}`)
    expect(sql).toBe(`sqlite3 ${db} 'select * from latency'`)
    expect(query(db, "select * from latency").length).toBeGreaterThan(5)
  })
})

describe("its file", () => {
  it.each(Object.entries(COLUMNS))("4. answers the table %s", (table, columns) => {
    const names = columns.split(" ")
    const [row] = query(db, `select ${names.join(", ")} from ${table} limit 1`)
    // The demo scores no reply.
    if (table !== "feedback") expect(Object.keys(row ?? {})).toEqual(names)
  })
  it.each(VIEWS)("5. answers the view %s", (view) => {
    expect(() => query(db, `select * from ${view} limit 1`)).not.toThrow()
  })
  it("6. holds no unfinished message, and each customer's key once", () => {
    expect(query(db, "select * from mailbox")).toEqual([])
    expect(query(db, "select distinct status from messages")).toEqual([{ status: "done" }])
    expect(
      query(
        db,
        "select 1 from messages where idempotency_key is not null group by idempotency_key having count(*) > 1",
      ),
    ).toEqual([])
  })
  it("7. says why each message went where it went, and what happened to the models", () => {
    const rerouted = query(
      db,
      "select a.chosen as first, b.chosen as second, b.evidence from routes a join routes b on b.message_id = a.message_id and b.attempt = a.attempt + 1 where a.pool = 'counter' and a.chosen <> b.chosen",
    )
    expect(rerouted.length).toBeGreaterThan(0)
    expect(JSON.parse(String(rerouted[0]?.evidence))).toBeTypeOf("object")
    const crashes = query(
      db,
      "select reason from lifecycle_events where event = 'CRASHED' and actor_type like 'barista%'",
    )
    expect(crashes).toEqual([{ reason: expect.stringContaining("was killed by SIGKILL") }])
  })
  it("8. holds the killed answer once, written by two models and equal to the undisturbed one", () => {
    const [calm, storm] = ["calm.%", "storm.%"].map((name) =>
      query(
        db,
        "select json_extract(reply, '$.text') as text, json_extract(reply, '$.resumed') as resumed from messages where actor_type = 'coffee' and actor_id like ?",
        name,
      ),
    )
    expect(calm).toHaveLength(1)
    expect(storm).toHaveLength(1)
    expect(storm![0]!.text).toBe(calm![0]!.text)
    expect(JSON.parse(String(storm![0]!.resumed))).toMatchObject([{ mode: "exact" }])
  })
})

describe("pontoon, on that file", () => {
  const pontoon = (...args: ReadonlyArray<string>) => run(PONTOON, [...args, "--db", db], folder)
  const traceId = () => /trace (\S+) --db/.exec(played.out)?.[1] ?? ""

  it("9. traces a conversation through front desk, integrator, pool and replica, with times and routes", async () => {
    const { err, out, status } = await pontoon("trace", traceId())
    expect({ err, status }).toEqual({ err: "", status: 0 })
    expect(out).toMatch(/^\+0 ms +front-desk\/\S+ Hear, done, 1 try, [\d.]+ m?s/m)
    expect(out).toMatch(/sorters → sorter\/a \(lowest cost: \d+ ms expected/)
    expect(out).toMatch(/integrator\/\S+ Gather, done, .* → integrator\/\S+ \(\w+ and \w+ by content, \d+ % sure\)/)
    expect(out).toMatch(/coffee\/\S+ Say, done/)
    expect(out).toMatch(/barista\S*\/. Generate, done, \d+ tr(y|ies), .*counter → barista\S*\/. \(/)
  })
  it("10. prints every list, and as JSON one object a line", async () => {
    const commands = [["trace", traceId()], ["log"], ["actors"], ["mailbox"], ["dead"], ["routes"], ["stats"]]
    const runs = commands.map(async (command) => {
      const plain = await pontoon(...command)
      const json = await pontoon(...command, "--json")
      expect([plain.status, plain.err, json.status, json.err]).toEqual([0, "", 0, ""])
      const objects = json.out
        .split("\n")
        .filter((line) => line !== "")
        .map((line): unknown => JSON.parse(line))
      for (const object of objects) expect(object).toBeTypeOf("object")
      return [command[0], plain.out.split("\n").length, objects.length] as const
    })
    const counts = new Map((await Promise.all(runs)).map(([name, lines, objects]) => [name, { lines, objects }]))
    // A line of titles, and nothing below it.
    for (const empty of ["mailbox", "dead"]) expect(counts.get(empty)).toEqual({ lines: 2, objects: 0 })
    for (const full of ["trace", "log", "actors", "routes", "stats"])
      expect(counts.get(full)?.objects).toBeGreaterThan(5)
  })
})

describe("a second play on the same file", () => {
  it(
    "11. plays a file of JSON lines in its order, remembers the conversation, and counts only its own",
    async () => {
      const input = join(folder, "mine.jsonl")
      const turns = ["a small latte please", "make it a large one", "and a cookie"]
      writeFileSync(
        input,
        `${turns.map((text, index) => JSON.stringify({ conversation: "me", text, turn: index + 1 })).join("\n")}\n\nis my card on its way\n`,
      )
      const [before] = query(db, "select count(*) as n from messages where actor_type = 'front-desk'")
      const again = await run(DEMO, ["--once", "--db", db, "--input", input], folder)
      expect(again).toMatchObject({ status: 0, err: "" })
      const accepted = Number(/^(\d+) messages accepted: \1 done, .* 0 lost, 0 doubled$/m.exec(again.out)?.[1])
      const [after] = query(db, "select count(*) as n from messages where actor_type = 'front-desk'")
      expect(Number(after?.n)).toBe(Number(before?.n) + accepted)
      expect(
        query(db, "select body from messages where actor_type = 'front-desk' and actor_id = 'me' order by seq"),
      ).toEqual(turns.map((text) => ({ body: JSON.stringify({ text }) })))
      const [state] = query(
        db,
        "select json_extract(state, '$.turns') as turns from actors where actor_type = 'front-desk' and actor_id = 'me'",
      )
      expect(state).toEqual({ turns: 3 })
      expect(again.out).toContain("line-5 > is my card on its way\n")
    },
    PLAY_MS_MAX,
  )
})
