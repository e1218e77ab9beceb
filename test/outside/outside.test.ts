/**
 * The packages as their users get them: built, packed, and installed into an application outside the workspace, which is
 * plain JavaScript on Fastify and is killed with -9 in mid-request. See Tarballs.ts for what of it is linked, and why.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type OutsideApp, startApp } from "./OutsideApp.ts"
import { installTarballs, readManifest } from "./Tarballs.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const project = mkdtempSync(join(tmpdir(), "pontoon-outside-"))
const QUESTION = "hi, can i get a large iced vanilla latte with oat milk to go please"
/** With it an answer takes a second and more: the kill falls into it on any machine. */
const STEP_DELAY_MS = 100
const TOKENS_BEFORE_KILL = 3

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Reads the file as its operator would: with SQL, whoever owns it. */
const query = (sql: string, ...values: ReadonlyArray<string>): ReadonlyArray<Record<string, unknown>> => {
  const db = new DatabaseSync(join(project, "pontoon.db"), { readOnly: true })
  try {
    return db.prepare(sql).all(...values)
  } finally {
    db.close()
  }
}

const tokensWritten = (key: string) =>
  query(
    `select json_extract(c.data, '$.tokenIds') as ids, json_extract(c.data, '$.text') as text, c.attempt
     from chunks c join messages m on m.id = c.message_id join messages p on p.id = m.causation_id
     where p.idempotency_key = ? and json_extract(c.data, '$._tag') = 'Tokens' order by c.ordinal`,
    key,
  )

/** Waits for what another process does; the test's own limit ends it. */
const until = async (is: () => boolean): Promise<void> => {
  while (!is()) await sleep(10)
}

describe("an application outside the workspace", () => {
  const running = new Set<OutsideApp>()
  const start = async (stepDelayMs = 0) => {
    const app = await startApp(project, stepDelayMs)
    running.add(app)
    return app
  }
  beforeAll(async () => {
    writeFileSync(join(project, "package.json"), JSON.stringify({ name: "outside", type: "module", private: true }))
    copyFileSync(fileURLToPath(new URL("app.js", import.meta.url)), join(project, "app.js"))
    cpSync(join(root, "apps/demo/models/barista"), join(project, "my-model"), { recursive: true })
    await installTarballs(project, ["fastify"])
  }, 180_000)
  afterAll(async () => {
    for (const app of running) await app.end("SIGKILL")
    rmSync(project, { recursive: true, force: true })
  })

  it("1. gets its answer by the idempotency key, after kill -9 in mid-request", async () => {
    const first = await start(STEP_DELAY_MS)
    const calm = await first.ask("calm", QUESTION, "req-0")
    expect(calm.text).toMatch(/\w{3}/)
    expect(calm.resumed).toEqual([])

    const cut = first.ask("customer-42", QUESTION, "req-1").then(
      () => "answered",
      () => "cut",
    )
    await until(() => tokensWritten("req-1").length >= TOKENS_BEFORE_KILL)
    expect(await first.end("SIGKILL")).toBe("SIGKILL")
    expect(await cut).toBe("cut")
    const left = query("select status from messages where idempotency_key = 'req-1'")
    expect(left).toEqual([{ status: "running" }])
    await until(() => !isAlive(first.modelPid()))

    const second = await start()
    const answer = await second.ask("customer-42", QUESTION, "req-1")
    expect(answer.text).toBe(calm.text)
    // The same key again is the same answer, and nothing runs for it.
    expect(await second.ask("customer-42", QUESTION, "req-1")).toEqual(answer)
    // A second turn of the same conversation.
    expect((await second.ask("customer-42", "yes", "req-2")).text).toMatch(/\w{3}/)
    expect(await second.end("SIGTERM")).toBe("0")
    expect(second.errors()).toBe("")
    await until(() => !isAlive(second.modelPid()))
  })

  it("2. has each message in the file once, done, with every token once", () => {
    const counts = query(
      "select idempotency_key as key, count(*) as n, min(status) as status from messages where actor_type = 'chat' group by 1 order by 1",
    )
    expect(counts).toEqual(["req-0", "req-1", "req-2"].map((key) => ({ key, n: 1, status: "done" })))
    expect(query("select actor_type from messages where status <> 'done'")).toEqual([])
    const [generated] = query(
      `select m.reply, m.attempt from messages m join messages p on p.id = m.causation_id where p.idempotency_key = 'req-1'`,
    )
    const reply: { readonly text: string; readonly tokenIds: ReadonlyArray<number> } = JSON.parse(
      String(generated?.reply),
    )
    const tokens = tokensWritten("req-1")
    expect(generated?.attempt).toBe(2)
    expect(tokens.flatMap(({ ids }) => JSON.parse(String(ids)))).toEqual(reply.tokenIds)
    expect(tokens.map(({ text }) => text).join("")).toBe(reply.text)
    // Both lives wrote of it.
    expect(new Set(tokens.map(({ attempt }) => attempt))).toEqual(new Set([1, 2]))
    const [state] = query("select state from actors where actor_type = 'chat' and actor_id = 'customer-42'")
    expect(JSON.parse(String(state?.state)).turns).toHaveLength(4)
  })

  /** Runs a command of an installed package, and gives what it says. */
  const runCommand = (name: string, command: string, ...args: ReadonlyArray<string>) => {
    const folder = join(project, "node_modules/@pontoon", name)
    const file = join(folder, readManifest(folder).bin?.[command] ?? "missing")
    return execFileSync(process.execPath, ["--no-strip-types", file, ...args], { cwd: project, encoding: "utf8" })
  }

  it("3. has the commands, which read the file of the dead process, and the model's folder", () => {
    const stats = runCommand("store", "pontoon", "stats", "--db", "pontoon.db", "--json")
    expect(JSON.parse(stats.split("\n")[0]!)).toEqual({ status: "done", count: 6 })
    const found = runCommand("agents", "pontoon-models", "inspect", "my-model", "--json")
    expect(JSON.parse(found)).toMatchObject({ kind: "decoder", path: { kind: "batched" } })
  })

  it("4. runs the README's example, on the user's model folder", () => {
    const folder = join(project, "readme")
    cpSync(join(project, "my-model"), join(folder, "my-model"), { recursive: true })
    const [, example] = /^```js\n([\s\S]*?)^```$/m.exec(readFileSync(join(root, "README.md"), "utf8")) ?? []
    writeFileSync(join(folder, "example.js"), example ?? "throw new Error('README.md has no example')")
    const out = execFileSync(process.execPath, ["--no-strip-types", "example.js"], { cwd: folder, encoding: "utf8" })
    expect(out).toMatch(/\w{3}[\s\S]*\w{3}/)
    const asked = new DatabaseSync(join(folder, "pontoon.db"), { readOnly: true })
    expect(asked.prepare("select status from messages where actor_type = 'chat'").all()).toEqual([
      { status: "done" },
      { status: "done" },
    ])
    asked.close()
  })

  it("5. has types, which refuse a task that is not there", () => {
    const lines = [
      'import { ConversationActor, ModelActor } from "@pontoon/agents"',
      'import { Pontoon } from "@pontoon/runtime"',
      'import { MemoryStore, messageStoreSuite } from "@pontoon/runtime/testing"',
      'import { SqliteStore } from "@pontoon/store"',
      'const chat = ConversationActor.make("c", { model: ModelActor.make("m", { folder: "./my-model" }).ref("a") })',
      'const pontoon = await Pontoon.open({ store: SqliteStore.layer("x.db"), actors: [chat] })',
      'export const text: string = (await pontoon.ask(chat.ref("x"), "Say", { text: "hi" })).text',
      "export { MemoryStore, messageStoreSuite }",
      'await pontoon.ask(chat.ref("x"), "Shout", { text: "hi" })',
    ]
    writeFileSync(join(project, "typed.ts"), lines.join("\n"))
    const tsc = join(root, "node_modules/typescript/bin/tsc")
    const flags = [
      "--noEmit",
      "--strict",
      "--module",
      "nodenext",
      "--target",
      "es2024",
      "--skipLibCheck",
      "--types",
      "",
    ]
    const { status, stdout } = spawnSync(process.execPath, [tsc, ...flags, "typed.ts"], {
      cwd: project,
      encoding: "utf8",
    })
    const errors = stdout.split("\n").filter((line) => line.startsWith("typed.ts"))
    expect(status).not.toBe(0)
    expect(errors).toEqual([expect.stringMatching(/^typed\.ts\(9,\d+\): error .*"Shout"/)])
  })
})
