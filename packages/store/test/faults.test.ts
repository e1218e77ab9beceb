/**
 * A running system on a file in trouble, real trouble where the machine allows it: it slows or refuses, says so in a
 * sentence, goes on when the cause has gone, and no accepted message is lost.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { appendClaimed, settle } from "@pontoon/runtime/testing"
import { Effect, Fiber, type Scope } from "effect"
import { describe, expect, it } from "vitest"
import { SqliteStore } from "../src/index.ts"
import { type Child, startChild } from "./support/childProcess.ts"
import { openLedgers, Told, turn } from "./support/ledger.ts"
import { runPontoon } from "./support/runPontoon.ts"
import { temporaryFile, temporaryFolder } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

/** Whether a small file system can be mounted here: that takes root, and a machine that lets it. */
const mayMount = (() => {
  if (process.getuid?.() !== 0) return false
  try {
    execFileSync("unshare", ["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})()

const mayLimit = existsSync("/usr/bin/prlimit")

const smallDisk = (megabytes: number) =>
  Effect.gen(function* () {
    const mount = join(yield* temporaryFolder, "small")
    mkdirSync(mount)
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", mount])
    yield* Effect.addFinalizer(() => Effect.sync(() => execFileSync("umount", ["-l", mount])))
    return mount
  })

/** Writes until there is no room. */
const fill = (path: string): void => {
  for (let size = 1024 * 1024; size >= 512; ) {
    try {
      writeFileSync(path, Buffer.alloc(size), { flag: "a" })
    } catch {
      // Half as much may still fit.
      size = Math.floor(size / 2)
    }
  }
}

/** A gate that is opened once. */
const makeGate = () => {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

/** Turns until it is so; whatever the machine, the test's own limit ends it. */
const until = (isSo: () => boolean) =>
  Effect.gen(function* () {
    while (!isSo()) yield* turn
  })

const walBytes = (file: string): number => statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0

/** Another program that holds the file until it is killed. */
const holder = (file: string, what: "read" | "write") =>
  Effect.gen(function* () {
    const child = yield* startChild("holdFile.ts", [file, what])
    expect(yield* Effect.promise(child.line)).toBe("holds")
    const letGo = Effect.promise(() => {
      child.process.kill("SIGKILL")
      return child.ended
    })
    return { letGo }
  })

describe("1 a disk that is full", () => {
  it.skipIf(!mayMount)("refuses what is sent, keeps what a handler has done until it can be written, and goes on", () =>
    run(
      Effect.gen(function* () {
        const folder = yield* smallDisk(4)
        const file = join(folder, "pontoon.db")
        const gate = makeGate()
        const ledgers = yield* openLedgers(file, {}, gate.opened)
        const told = new Told()
        yield* told.add(ledgers, "before")
        // It runs, and its reply needs more room than there will be.
        const runs = yield* Effect.forkScoped(told.add(ledgers, "runs", { by: 10, id: "b", waits: true }))
        yield* accepted(ledgers)
        const filler = join(folder, "filler")
        fill(filler)
        const sends = yield* Effect.forEach(["c", "d", "e"], (id) =>
          Effect.forkScoped(told.add(ledgers, `sent-${id}`, { id, pad: 100_000 })),
        )
        yield* until(() => told.refusals.has("full"))
        const full = `The disk of ${file} is full; nothing was written, try again when there is room.`
        expect(told.refusals).toEqual(new Map([["full", new Set([full])]]))
        gate.open()
        const patient = `The store cannot write now: ${full} Trying again until it can.`
        yield* until(() => ledgers.said.some((line) => line.includes(patient)))
        // What is not written can be read: the log answers on a full disk.
        expect((yield* runPontoon("log", "--json", "--db", file)).code).toBe(0)
        rmSync(filler)
        yield* Effect.forEach([runs, ...sends], Fiber.join)
        expect(told.answers.size).toBe(5)
        yield* ledgers.close
        expect(yield* told.judge(file)).toEqual([])
      }),
    ),
  )

  it.skipIf(!mayMount)("a crash on it loses nothing that was accepted", () =>
    run(
      Effect.gen(function* () {
        const folder = yield* smallDisk(3)
        const file = join(folder, "pontoon.db")
        const child = yield* startChild("serveLedgers.ts", [file])
        const told = new Told()
        yield* hear(child, told, () => told.answers.size >= 20)
        fill(join(folder, "filler"))
        yield* hear(child, told, () => told.refusals.has("full"))
        child.process.kill("SIGKILL")
        yield* Effect.promise(() => child.ended)
        rmSync(join(folder, "filler"))
        const ledgers = yield* openLedgers(file)
        yield* drained(ledgers)
        yield* told.add(ledgers, "after", { id: "0" })
        yield* ledgers.close
        expect(yield* told.judge(file)).toEqual([])
      }),
    ),
  )
})

interface Unfinished {
  readonly system: { readonly unfinished: Effect.Effect<number> }
}

/** Something runs, or waits. */
const accepted = ({ system }: Unfinished) =>
  Effect.gen(function* () {
    while ((yield* system.unfinished) === 0) yield* turn
  })

const drained = ({ system }: Unfinished) =>
  Effect.gen(function* () {
    while ((yield* system.unfinished) > 0) yield* turn
  })

/** Takes in what the child says, until it is so. */
const hear = (child: Child, told: Told, isSo: () => boolean, lines: Array<string> = []) =>
  Effect.promise(async () => {
    while (!isSo()) {
      const line = await child.line()
      if (line === undefined) throw new Error(`the child ended with ${await child.ended}: ${lines.join("; ")}`)
      lines.push(line)
      const [what, name = "", ...rest] = line.split(" ")
      if (what === "answered") told.answers.set(name, rest.join(" "))
      if (what === "refused") told.refused({ reason: name, message: rest.join(" ") })
    }
  })

describe("2 a disk that fails", () => {
  it.skipIf(!mayLimit)(
    "real errors from every write (a file size limit of the process): as a full one, and it says io",
    () =>
      run(
        Effect.gen(function* () {
          const file = yield* temporaryFile
          const child = yield* startChild("serveLedgers.ts", [file])
          const told = new Told()
          const lines: Array<string> = []
          yield* hear(child, told, () => told.answers.size >= 40, lines)
          const limit = (bytes: string) =>
            execFileSync("prlimit", ["--pid", `${child.process.pid}`, `--fsize=${bytes}:`])
          limit("1")
          yield* hear(child, told, () => told.refusals.has("io"), lines)
          const sentence = `${file} could not be read or written (disk I/O error); nothing was applied, look at the disk and try again.`
          expect(told.refusals).toEqual(new Map([["io", new Set([sentence])]]))
          limit("unlimited")
          const before = told.answers.size
          yield* hear(child, told, () => told.answers.size >= before + 40, lines)
          child.process.kill("SIGTERM")
          yield* hear(child, told, () => false, lines).pipe(Effect.exit)
          expect(yield* Effect.promise(() => child.ended)).toBe("0")
          const ledgers = yield* openLedgers(file)
          yield* drained(ledgers)
          yield* ledgers.close
          expect(yield* told.judge(file)).toEqual([])
        }),
      ),
  )

  it.skipIf(!mayMount)("a file system that is read-only opens for nobody, is read as it is, and serves again", () =>
    run(
      Effect.gen(function* () {
        const folder = yield* smallDisk(4)
        const file = join(folder, "pontoon.db")
        const told = new Told()
        const first = yield* openLedgers(file)
        yield* told.add(first, "before")
        yield* first.close
        execFileSync("mount", ["-o", "remount,ro", folder])
        expect(yield* Effect.flip(Effect.scoped(SqliteStore.make(file)))).toMatchObject({
          reason: "read-only",
          message: `${file} cannot be written; make the file and its folder writable.`,
        })
        for (const args of [["log"], ["stats"], ["redrive", "--all"]]) {
          const { code, err } = yield* runPontoon(...args, "--db", file)
          if (code !== 0) expect(err).toMatch(/^pontoon: [^\n]+\.\n$/)
        }
        execFileSync("mount", ["-o", "remount,rw", folder])
        const second = yield* openLedgers(file)
        yield* told.add(second, "after")
        yield* second.close
        expect(yield* told.judge(file)).toEqual([])
      }),
    ),
  )
})

describe("3 another program", () => {
  it("that holds the write lock past lockWaitMsMax: what is sent is refused, what runs is kept, and it goes on", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const gate = makeGate()
        const ledgers = yield* openLedgers(file, { lockWaitMsMax: 20 }, gate.opened)
        const told = new Told()
        yield* told.add(ledgers, "before")
        const runs = yield* Effect.forkScoped(told.add(ledgers, "runs", { by: 10, id: "b", waits: true }))
        yield* accepted(ledgers)
        const { letGo } = yield* holder(file, "write")
        const sent = yield* Effect.forkScoped(told.add(ledgers, "sent", { id: "c" }))
        gate.open()
        const sentence = `Another process holds the write lock of ${file}; nothing was written, try again when it has finished.`
        yield* until(() => told.refusals.has("busy") && ledgers.said.some((line) => line.includes(sentence)))
        expect(told.refusals).toEqual(new Map([["busy", new Set([sentence])]]))
        const { err } = yield* runPontoon("redrive", "nobody", "--db", file)
        expect(err).toBe("pontoon: There is no message nobody in the log.\n")
        yield* letGo
        yield* Effect.forEach([runs, sent], Fiber.join)
        yield* ledgers.close
        expect(yield* told.judge(file)).toEqual([])
      }),
    ))

  it("that reads and does not end: commits go on, it is said once, and the log shrinks when it has gone", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const MEGABYTE = 1024 * 1024
        const ledgers = yield* openLedgers(file, { walBytesMax: 32 * MEGABYTE })
        const told = new Told()
        yield* told.add(ledgers, "before")
        const { letGo } = yield* holder(file, "read")
        const warnings = () => ledgers.said.filter((line) => /-wal has more than 32 MB/.test(line))
        let n = 0
        const addLarge = Effect.suspend(() => told.add(ledgers, `large-${n++}`, { pad: 900_000 }))
        while (walBytes(file) < 40 * MEGABYTE || warnings().length === 0) yield* addLarge
        expect(told.refusals.size).toBe(0)
        for (let more = 0; more < 5; more++) yield* addLarge
        expect(warnings()).toEqual([
          `Warn ${file}-wal has more than 32 MB: somebody reads ${file} in a transaction that does not end, or has just written that much at once; it grows until that is over (fuser ${file} names who has it open).`,
        ])
        yield* letGo
        yield* until(() => ledgers.said.includes(`Info ${file}-wal is small again.`))
        expect(walBytes(file)).toBe(0)
        yield* told.add(ledgers, "after")
        yield* ledgers.close
        expect(yield* told.judge(file)).toEqual([])
      }),
    ))
})

/** Messages of a megabyte, each twice in the log. With PONTOON_WAL_MESSAGES=512 the log has a gigabyte. */
const LEFT = Number(process.env.PONTOON_WAL_MESSAGES ?? 64)

describe("4 a write-ahead log that a killed owner left", () => {
  it("is opened, served at once, copied beside the traffic, and emptied", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const child = yield* startChild("leaveWal.ts", [file, `${LEFT}`])
        expect(yield* Effect.promise(() => child.ended)).toBe("SIGKILL")
        const left = walBytes(file)
        expect(left > 2 * LEFT * 1_000_000).toBe(true)
        const sizeBefore = statSync(file).size
        const ledgers = yield* openLedgers(file)
        // Nothing of it was copied by the opening, nor by the first commits.
        const told = new Told()
        yield* told.add(ledgers, "first", { id: "b" })
        expect(walBytes(file) >= left || statSync(file).size > sizeBefore).toBe(true)
        expect(ledgers.said.filter((line) => line.includes("left behind"))).toEqual([
          expect.stringMatching(
            /^Info .*-wal has \d+ MB that the owner before left behind; they are copied into the database beside the traffic\.$/,
          ),
        ])
        yield* until(() => ledgers.said.includes(`Info ${file}-wal is small again.`))
        expect(walBytes(file)).toBe(0)
        yield* drained(ledgers)
        yield* told.add(ledgers, "last", { id: "b" })
        yield* ledgers.close
        expect(readdirSync(dirname(file)).sort()).toEqual(["pontoon.db", "pontoon.db.owner"])
        // 64 that were done before, without a state; the one that waited, and two.
        const store = yield* SqliteStore.make(file)
        expect((yield* store.actor({ type: "ledger", id: "a" }))?.state).toBe("5")
        expect((yield* store.actor({ type: "ledger", id: "b" }))?.state).toBe("2")
        yield* store.commit([appendClaimed("end"), settle("end")])
      }),
    ))
})
