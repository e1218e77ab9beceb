/** Bad input, one by one, as an application and an operator meet it: one clear sentence each, and nothing is lost. */
import { execFileSync, spawnSync } from "node:child_process"
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { ClassifierActor, ConversationActor, ModelActor } from "@pontoon/agents"
import { makePool, Pontoon } from "@pontoon/runtime"
import { SqliteStore } from "@pontoon/store"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { PONTOON, query, run, start } from "./programs.ts"

const folder = mkdtempSync(join(tmpdir(), "pontoon-bad-"))
const at = (name: string) => join(folder, name)
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const bundled = fileURLToPath(new URL("../../models", import.meta.url))
const FILL_LOG = fileURLToPath(new URL("./fillLog.ts", import.meta.url))

/** What a promise was rejected with: its tag, and its sentence. */
const refusalOf = (promise: Promise<unknown>) =>
  promise.then(
    () => ({ tag: "none", message: "it was not refused" }),
    (error: unknown) =>
      error instanceof Error && "_tag" in error
        ? { tag: error._tag, message: error.message }
        : { tag: "", message: String(error) },
  )

/** A user without rights. */
const NOBODY = 65_534
const prompt = [{ role: "user", content: "hi" }] as const

describe("models that cannot be loaded", () => {
  const db = at("models.db")
  const broken = ["missing", "half", "truncated", "foreign"].map((name) => ModelActor.make(name, { folder: at(name) }))
  const [missing, half, truncated, foreign] = broken as [(typeof broken)[0], ...typeof broken]
  const classifier = ClassifierActor.make("sorter", { folder: at("missing") })
  const good = ModelActor.make("good", { folder: join(bundled, "barista") })
  const counter = makePool("counter", { targets: [truncated!.ref("a"), { ref: good.ref("a"), tier: 1 }] })
  const chat = ConversationActor.make("chat", { model: missing.ref("a") })
  const pooled = ConversationActor.make("pooled", { model: counter.ref })
  const strict = ConversationActor.make("strict", { model: good.ref("a"), overflow: "refuse" })
  const loose = ConversationActor.make("loose", { model: good.ref("a") })
  let pontoon: Pontoon

  beforeAll(async () => {
    for (const name of ["half", "truncated", "foreign"]) cpSync(join(bundled, "barista"), at(name), { recursive: true })
    rmSync(at("half/onnx"), { recursive: true })
    for (const weights of ["model.onnx", "model_quantized.onnx"]) truncateSync(at(`truncated/onnx/${weights}`), 100_000)
    copyFileSync(join(bundled, "banking-intent/tokenizer.json"), at("foreign/tokenizer.json"))
    const actors = [...broken, classifier, good, chat, pooled, strict, loose]
    pontoon = await Pontoon.open({ store: SqliteStore.layer(db), actors, pools: [counter] })
  })
  afterAll(() => pontoon.close())

  it("1. make their actors `failed`, with the reason in the lifecycle; what waits for them is a dead letter that says it", async () => {
    const refusals = await Promise.all([
      ...[missing, half!, truncated!, foreign!].map((model) =>
        refusalOf(pontoon.ask(model.ref("a"), "Generate", { prompt })),
      ),
      refusalOf(pontoon.ask(classifier.ref("a"), "Classify", { text: "hi" })),
    ])
    for (const { tag } of refusals) expect(tag).toMatch(/^Terminal(DeadLetter|ActorFailed)$/)
    const reasons = new Map(
      query(db, "select actor_type, reason from lifecycle_events where to_state = 'failed'").map((row) => [
        row.actor_type,
        row.reason,
      ]),
    )
    expect(reasons.get("missing")).toContain(`there is no folder ${at("missing")}; set \`folder\``)
    expect(reasons.get("half")).toMatch(/is missing in .*half/)
    expect(reasons.get("truncated")).toMatch(/truncated\/onnx\/model\.onnx is truncated or damaged; copy it again/)
    expect(reasons.get("foreign")).toMatch(
      /tokenizer\.json has \d+ tokens and the model \d+; they do not belong together/,
    )
    expect(reasons.get("sorter")).toContain("there is no folder")
    const dead = query(db, "select id, error from messages where status = 'dead'")
    for (const { error } of dead) expect(String(error)).toContain("TerminalActorFailed")
  })
  it("2. fail a conversation that asks one, and are passed by in a pool", async () => {
    const refusal = await refusalOf(pontoon.ask(chat.ref("c"), "Say", { text: "hi" }))
    expect(refusal).toMatchObject({ tag: "TerminalMessageFailed" })
    expect(refusal.message).toContain("missing/a is failed")
    expect((await pontoon.ask(pooled.ref("c"), "Say", { text: "hi" })).model).toBe("good/a")
  })
  it("3. a prompt that is too long is refused with numbers, or cut by a rule that the answer names", async () => {
    const text = "can i have a latte with milk ".repeat(12)
    const long = await refusalOf(pontoon.ask(strict.ref("c"), "Say", { text: text.repeat(8) }))
    expect(long.tag).toBe("TerminalPromptTooLong")
    expect(long.message).toMatch(/the prompt has \d+ tokens .*exceed its context of \d+/)
    for (let turn = 0; turn < 4; turn++) await pontoon.ask(loose.ref("c"), "Say", { text })
    const answer = await pontoon.ask(loose.ref("c"), "Say", { text })
    expect(answer.cut).toMatchObject({ rule: "drop-oldest" })
    expect(answer.cut!.droppedTurns).toBeGreaterThan(0)
    expect(answer.cut!.droppedTokens).toBeGreaterThan(0)
    // One turn that is too long by itself cannot be cut, and what the conversation remembers is as it was.
    expect((await refusalOf(pontoon.ask(loose.ref("c"), "Say", { text: text.repeat(8) }))).tag).toBe(
      "TerminalPromptTooLong",
    )
    const [state] = query(db, "select json_array_length(state, '$.turns') as n from actors where actor_type = 'loose'")
    expect(state).toEqual({ n: 10 })
  })
  it("4. messages that are not valid are refused before they are written", async () => {
    const [before] = query(db, "select count(*) as n from messages")
    const ref = loose.ref("x")
    // What JavaScript callers can pass, and TypeScript would not let them.
    const cases = [
      [
        pontoon.ask(ref, "Say", { text: 5 } as never),
        "TerminalInvalidMessage",
        /Say to loose\/x is not valid: .*"text"/,
      ],
      [pontoon.ask(ref, "Say", { text: "" }), "TerminalInvalidMessage", /length of at least 1/],
      [
        pontoon.ask(ref, "Say", { text: "x".repeat(1024 * 1024) }),
        "TerminalMessageTooLarge",
        /has \d+ bytes, and the limit is 1048576/,
      ],
      [
        pontoon.ask(ref, "Shout" as never, { text: "hi" } as never),
        "TerminalUnknownTask",
        /^loose\/x has no task Shout; it has Say\.$/,
      ],
      [
        pontoon.ask({ ...ref, type: "nobody" }, "Say", { text: "hi" }),
        "TerminalUnknownActor",
        /^There is no actor nobody in this system; it has .*loose/,
      ],
    ] as const
    for (const [promise, tag, says] of cases) {
      const refusal = await refusalOf(promise)
      expect(refusal.tag).toBe(tag)
      expect(refusal.message).toMatch(says)
      expect(refusal.message).not.toContain("\n")
    }
    expect(query(db, "select count(*) as n from messages")).toEqual([before])
  })
  it("5. a second owner is refused by name, and reading is not", async () => {
    const second = await refusalOf(Pontoon.open({ store: SqliteStore.layer(db), actors: [] }))
    expect(second.tag).toBe("TerminalStoreFailure")
    expect(second.message).toMatch(/is owned by this process already; stop that owner, or give this one another file/)
    expect(await run(PONTOON, ["dead", "--db", db], folder)).toMatchObject({ status: 0, err: "" })
  })
})

describe("databases that cannot be used", () => {
  const open = (file: string) => refusalOf(Pontoon.open({ store: SqliteStore.layer(file), actors: [] }))
  const makeLog = async (name: string) => {
    const pontoon = await Pontoon.open({ store: SqliteStore.layer(at(name)), actors: [] })
    await pontoon.close()
  }
  it.each<[string, (file: string) => void, RegExp]>([
    [
      "corrupt",
      (file) => writeFileSync(file, `SQLite format 3\0${"damaged ".repeat(600)}`),
      /is not a readable SQLite database/,
    ],
    [
      "from a newer version",
      (file) => {
        const db = new DatabaseSync(file)
        db.exec("pragma user_version = 99")
        db.close()
      },
      /version 99/,
    ],
  ])("6. %s: the application and the command say so, and leave it as it is", async (name, damage, says) => {
    const file = at(`${name.replaceAll(" ", "-")}.db`)
    await makeLog(`${name.replaceAll(" ", "-")}.db`)
    damage(file)
    const before = readFileSync(file)
    const refusal = await open(file)
    expect(refusal).toMatchObject({ tag: "TerminalStoreFailure", message: expect.stringMatching(says) })
    expect(refusal.message).toContain(file)
    const command = await run(PONTOON, ["log", "--db", file], folder)
    expect(command).toMatchObject({ status: 1, out: "", err: expect.stringMatching(says) })
    expect(command.err.trim().split("\n")).toHaveLength(1)
    expect(readFileSync(file).equals(before)).toBe(true)
  })

  it("7. in a folder that cannot be written: the application and the command say what to do", async () => {
    // Root may write everywhere: then another user tries.
    const uid = process.getuid?.() === 0 ? NOBODY : undefined
    const file = at("sealed/log.db")
    mkdirSync(at("sealed"))
    await makeLog("sealed/log.db")
    chmodSync(folder, 0o755)
    if (uid === undefined) chmodSync(at("sealed"), 0o500)
    else for (const owned of [file, `${file}.owner`]) if (existsSync(owned)) chownSync(owned, uid, uid)
    const fresh = await run(FILL_LOG, [at("sealed/fresh.db")], folder, uid)
    expect(fresh).toMatchObject({ status: 1, err: "" })
    expect(fresh.out).toMatch(/"TerminalStoreFailure".*The folder of \S+fresh\.db cannot be written; make it writable/)
    const command = await run(PONTOON, ["stats", "--db", file], folder, uid)
    // A write-ahead log cannot even be read there.
    expect(command).toMatchObject({ status: 1, out: "" })
    expect(command.err).toMatch(
      /^pontoon: \S+log\.db cannot be read where it is, .* copy it with its -wal file to one\.\n$/,
    )
    chmodSync(at("sealed"), 0o700)
  })

  it("8. on a disk that fills up: the sender is told, and everything that was accepted is done when there is room", async (context) => {
    const disk = at("disk")
    mkdirSync(disk)
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", disk])
    if (mounted.status !== 0) context.skip("a small disk cannot be mounted here; that takes root on Linux")
    try {
      const [file, room] = [join(disk, "log.db"), join(disk, "room")]
      writeFileSync(room, "x".repeat(700_000))
      const program = start(FILL_LOG, [file, "100000", room], folder)
      await program.says("refused")
      expect(await run(PONTOON, ["stats", "--db", file], folder)).toMatchObject({ status: 0 })
      rmSync(room)
      const { out, status } = await program.ended
      const [refused, end] = out
        .split("\n")
        .filter((line) => line.startsWith("{"))
        .map((line): Record<string, unknown> => JSON.parse(line))
      expect(refused).toEqual({
        refused: {
          tag: "RetryableStoreFailure",
          message: `The disk of ${file} is full; nothing was written, try again when there is room.`,
        },
      })
      expect(status).toBe(0)
      expect(query(file, "select count(*) as n, min(status) as a, max(status) as b from messages")).toEqual([
        { n: end?.accepted, a: "done", b: "done" },
      ])
      expect(query(file, "select state from actors")).toEqual([{ state: String(end?.accepted) }])
    } finally {
      execFileSync("umount", [disk])
    }
  })
})
