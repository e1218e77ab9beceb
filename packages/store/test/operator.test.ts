/** `pontoon redrive`, `cancel` and `stop`, with an owner and without one; misuse first. */
import { mkdirSync, statSync } from "node:fs"
import { createConnection } from "node:net"
import { join } from "node:path"
import { Actor, ActorSystem } from "@pontoon/runtime"
import { append, appendClaimed, putActor, recordStep, settle } from "@pontoon/runtime/testing"
import { Clock, Context, Duration, Effect, Exit, Layer, Schema, Scope } from "effect"
import { Rpc } from "effect/rpc"
import { describe, expect, it } from "vitest"
import { SqliteLogReader, SqliteStore } from "../src/index.ts"
import type { Output } from "../src/inspect/Output.ts"
import { cancel, onActor, type RedriveChoice, redrive } from "../src/inspect/operate.ts"
import { ActorCommand, operatorSocket, REQUEST_BYTES_MAX } from "../src/operator/operatorProtocol.ts"
import { startChild } from "./support/childProcess.ts"
import { runPontoon } from "./support/runPontoon.ts"
import { temporaryFile, temporaryFolder } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const rowOf = (file: string, id: string) =>
  Effect.scoped(Effect.flatMap(SqliteLogReader.make(file), (reader) => reader.message(id)))

/** A log without an owner: a done message, two dead letters, one that waits and one that ran. */
const deadLog = Effect.gen(function* () {
  const file = yield* temporaryFile
  const store = SqliteStore.make(file)
  yield* Effect.scoped(
    Effect.flatMap(store, ({ commit }) =>
      commit([
        appendClaimed("done"),
        settle("done"),
        appendClaimed("dead-1"),
        settle("dead-1", 1, "dead"),
        appendClaimed("dead-2", { actorType: "cashier" }),
        { ...settle("dead-2", 1, "dead"), error: '{"tag":"Late","message":"too late","retry":"retryable"}' },
        append("waits"),
        appendClaimed("ran"),
      ]),
    ),
  )
  return file
})

const actorCommand = Schema.decodeUnknownSync(ActorCommand)

/** The command in this process, which is much faster than a child; section 3 runs the real one, too. */
const play = (file: string, [command, name = "", ...rest]: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const output: Output = {
      print: (more) => Effect.sync(() => void lines.push(...more)),
      isTerminal: false,
      isColoured: false,
      width: 80,
    }
    const flags = name.startsWith("--") ? [name, ...rest] : rest
    const after = (flag: string) => (flags.includes(flag) ? flags[flags.indexOf(flag) + 1] : undefined)
    const limit = after("--limit")
    const choice: RedriveChoice = {
      messageId: name === "" || name.startsWith("--") ? undefined : name,
      isAll: flags.includes("--all"),
      actor: after("--actor"),
      task: after("--task"),
      errorTag: after("--error"),
      since: after("--since"),
      limit: limit === undefined ? undefined : Number(limit),
      isDryRun: flags.includes("--dry-run"),
      body: after("--body"),
    }
    const effect = (): Effect.Effect<void, { readonly _tag: string; readonly message: string }, Scope.Scope> => {
      if (command === "redrive") return redrive(file, output, false, choice)
      return command === "cancel"
        ? cancel(file, output, false, choice)
        : onActor(file, output, false, actorCommand(command), name)
    }
    const failure = yield* Effect.scoped(effect()).pipe(
      Effect.as(undefined),
      Effect.catch(({ message }) => Effect.succeed(message)),
    )
    return { lines, failure }
  })

const refused = (file: string, args: ReadonlyArray<string>, message: string) =>
  Effect.map(play(file, args), (played) => expect([args, played]).toEqual([args, { lines: [], failure: message }]))

const said = (file: string, args: ReadonlyArray<string>, lines: ReadonlyArray<string>) =>
  Effect.map(play(file, args), (played) => expect([args, played]).toEqual([args, { lines, failure: undefined }]))

/** A barista that is out of milk until it is told otherwise, and one that never comes to an end. */
const makeBar = () => {
  const bar = { hasMilk: false, brewed: [] as Array<string> }
  const Barista = Actor.make("barista", {
    protocol: [Rpc.make("Brew", { payload: { drink: Schema.String }, success: Schema.String })],
    retry: { attemptsMax: 1 },
    handlers: {
      Brew: ({ drink }) =>
        Effect.suspend(() => {
          if (drink === "slow") return Effect.never
          if (!bar.hasMilk) return Effect.die(new Error("no milk"))
          bar.brewed.push(drink)
          return Effect.succeed(drink)
        }),
    },
    supervision: { restartsMax: 1_000, withinMs: 1, backoff: { baseMs: 0, factor: 1, maxMs: 0, jitter: 0 } },
  })
  return { bar, Barista }
}

const openBar = (file: string, Barista: ReturnType<typeof makeBar>["Barista"]) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const layer = ActorSystem.layer({ actors: [Barista], drainMsMax: 0 }).pipe(Layer.provide(SqliteStore.layer(file)))
    const system = Context.get(yield* Layer.buildWithScope(layer, scope), ActorSystem)
    return { system, close: Scope.close(scope, Exit.void) }
  })

describe("1 misuse", () => {
  it("is told in a sentence, and changes nothing", () =>
    run(
      Effect.gen(function* () {
        const file = yield* deadLog
        const which = "some of --actor, --task, --error and --since, or --all"
        yield* refused(file, ["redrive"], `Give the id of a dead letter, ${which}; pontoon dead lists them.`)
        yield* refused(
          file,
          ["cancel"],
          `Give the id of a message that has not ended, ${which}; pontoon log lists them.`,
        )
        for (const command of ["redrive", "cancel"]) {
          const either = "Give either an id, or which ones are meant."
          yield* refused(file, [command, "dead-1", "--all"], either)
          yield* refused(file, [command, "dead-1", "--error", "Boom"], either)
          yield* refused(file, [command, "dead-1", "--dry-run"], "--dry-run is for many; give which ones are meant.")
          for (const time of ["yesterday", "2026-13-01", "1e3", "5w", ""]) {
            const why = `"${time}" is no time; give one as 2026-01-31T12:00Z, or how long ago, as 90m, 2h or 3d.`
            yield* refused(file, [command, "--since", time], why)
          }
        }
        yield* refused(file, ["redrive", "--all", "--body", "{}"], "--body is for one message; give its id.")
        yield* refused(
          file,
          ["cancel", "--all", "--error", "Boom"],
          "What has not ended has no error; leave --error out.",
        )
        yield* refused(file, ["redrive", "nobody"], "There is no message nobody in the log.")
        yield* refused(file, ["redrive", "done"], "Message done is done; only a dead letter can be redriven.")
        yield* refused(
          file,
          ["redrive", "dead-1", "--body", "{"],
          "Message dead-1 was not redriven, because its new body is not JSON.",
        )
        yield* refused(file, ["cancel", "done"], "Message done is done; only what has not ended can be cancelled.")
        yield* refused(file, ["cancel", "nobody"], "There is no message nobody in the log.")
        yield* refused(file, ["stop", "barista"], '"barista" is not an actor; give one as type/id.')
        yield* refused(
          file,
          ["stop", "barista/1"],
          `No process owns ${file}, so no actor runs; there is nothing to stop.`,
        )
        yield* refused(file, ["suspend", "barista/7"], "There is no actor barista/7 in the log.")
        yield* Effect.scoped(
          Effect.flatMap(SqliteStore.make(file), ({ commit }) => commit([putActor({ type: "barista", id: "7" }, "7")])),
        )
        yield* refused(file, ["resume", "barista/7"], "Actor barista/7 is ready; there is nothing to resume.")
        const found = (lifecycle: string) => [
          `Actor barista/7 is ${lifecycle}; no process owns the log now, the next one finds it so.`,
        ]
        yield* said(file, ["suspend", "barista/7"], found("suspended"))
        yield* said(file, ["resume", "barista/7"], found("ready"))
        yield* refused(
          file,
          ["restart", "barista/7"],
          `No process owns ${file}, so no actor runs; there is nothing to restart.`,
        )
        yield* refused(
          `${file}.none`,
          ["redrive", "--all"],
          `There is no file ${file}.none; give the path of a Pontoon log with --db FILE.`,
        )
        expect(yield* rowOf(file, "dead-1")).toMatchObject({ status: "dead", attemptsBefore: 0 })
      }),
    ))

  it("an owner over which no system is open is named, and left alone", () =>
    run(
      Effect.gen(function* () {
        const file = yield* deadLog
        yield* SqliteStore.make(file)
        yield* refused(
          file,
          ["redrive", "dead-1"],
          `${file} is owned by this process already, and no system there takes commands; open one over it, or stop it and try again.`,
        )
      }),
    ))
})

describe("2 without an owner", () => {
  it("redrive writes by itself: one on another body, or all that a filter lets through", () =>
    run(
      Effect.gen(function* () {
        const file = yield* deadLog
        const later = "no process owns the log now, the next one runs it."
        yield* said(
          file,
          ["redrive", "dead-1", "--body", '{"drink":"tea"}'],
          [`Message dead-1 waits to be run again; ${later}`],
        )
        expect(yield* rowOf(file, "dead-1")).toMatchObject({
          status: "pending",
          body: '{"drink":"tea"}',
          attempt: 1,
          attemptsBefore: 1,
        })
        const none = ["0 of 0 dead letters were redriven."]
        yield* said(file, ["redrive", "--all", "--actor", "barista"], none)
        yield* said(file, ["redrive", "--actor", "cashier/2"], none)
        yield* said(file, ["redrive", "--task", "pour"], none)
        yield* said(file, ["redrive", "--error", "Boom"], none)
        // The samples are of the beginning of 2026.
        yield* said(file, ["redrive", "--since", "2026-01-02"], none)
        const meant = ["--error", "Late", "--actor", "cashier/1", "--task", "brew", "--since", "2026-01-01T00:00Z"]
        yield* said(file, ["redrive", ...meant, "--dry-run"], ["dead-2", "1 of 1 dead letters would be redriven."])
        expect(yield* rowOf(file, "dead-2")).toMatchObject({ status: "dead" })
        yield* said(
          file,
          ["redrive", ...meant],
          [`Message dead-2 waits to be run again; ${later}`, "1 of 1 dead letters were redriven."],
        )
        const { out } = yield* runPontoon("routes", "--pool", "operator", "--db", file)
        expect(out).toContain("dead-1\t2\toperator\tbarista/1\tredriven with another body")
        expect(out).toContain("dead-2\t2\toperator\tcashier/1\tredriven\n")
      }),
    ))

  it("--all goes on past a page of them, and --json gives an object for each", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const ids = Array.from({ length: 501 }, (_, n) => `m${n}`)
        yield* Effect.scoped(
          Effect.flatMap(SqliteStore.make(file), ({ commit }) =>
            commit(ids.flatMap((id) => [appendClaimed(id), settle(id, 1, "dead")])),
          ),
        )
        const { out, code } = yield* runPontoon("redrive", "--all", "--json", "--db", file)
        expect(code).toBe(0)
        const answers = out.trimEnd().split("\n")
        expect(answers.map((line) => JSON.parse(line).id)).toEqual(ids)
        expect((yield* runPontoon("dead", "--json", "--db", file)).out).toBe("")
      }),
    ))

  it("cancel ends what waits, and what ran when its owner died", () =>
    run(
      Effect.gen(function* () {
        const file = yield* deadLog
        for (const id of ["waits", "ran"]) {
          yield* said(file, ["cancel", id], [`Message ${id} is cancelled.`])
          expect(yield* rowOf(file, id)).toMatchObject({ status: "cancelled" })
        }
      }),
    ))

  it("cancel leaves alone what has done something that only its actor can take back", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const paid = { ...recordStep("ran", 0), kind: "undoable", name: "pay" } as const
        yield* Effect.scoped(
          Effect.flatMap(SqliteStore.make(file), ({ commit }) => commit([appendClaimed("ran"), paid])),
        )
        yield* refused(
          file,
          ["cancel", "ran"],
          "Message ran has done what must be compensated (pay), and only its actor can; open the system over the log, and cancel it then.",
        )
        expect(yield* rowOf(file, "ran")).toMatchObject({ status: "running" })
      }),
    ))

  it("cancel takes back what is meant, the oldest first, and no more than the limit", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        yield* Effect.scoped(
          Effect.flatMap(SqliteStore.make(file), ({ commit }) =>
            commit([appendClaimed("m0"), ...["m1", "m2", "m3"].map((id) => append(id)), append("x", { task: "pour" })]),
          ),
        )
        yield* said(
          file,
          ["cancel", "--task", "brew", "--dry-run", "--limit", "2"],
          ["m0", "m1", "2 of 4 unfinished messages would be cancelled."],
        )
        yield* said(
          file,
          ["cancel", "--task", "brew", "--limit", "3"],
          [
            ...["m0", "m1", "m2"].map((id) => `Message ${id} is cancelled.`),
            "3 of 4 unfinished messages were cancelled; 1 left beyond the limit.",
          ],
        )
        yield* said(
          file,
          ["cancel", "--all"],
          ["Message m3 is cancelled.", "Message x is cancelled.", "2 of 2 unfinished messages were cancelled."],
        )
      }),
    ))
})

describe("3 with an owner", () => {
  it("redrive, cancel and stop are carried out by the running system", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const { bar, Barista } = makeBar()
        const { system, close } = yield* openBar(file, Barista)
        const id = yield* system.tell(Barista.ref("1"), "Brew", { drink: "flat white" })
        expect(yield* system.outcome(id)).toMatchObject({ status: "dead" })
        yield* refused(
          file,
          ["redrive", id, "--body", '{"drink":4}'],
          `Message ${id} was not redriven, because its new body does not fit Brew: Expected string at ["drink"]`,
        )
        bar.hasMilk = true
        expect(yield* runPontoon("redrive", id, "--body", '{"drink":"tea"}', "--db", file)).toEqual({
          out: `Message ${id} waits to be run again.\n`,
          err: "",
          code: 0,
        })
        expect(yield* system.outcome(id)).toMatchObject({ status: "done", reply: '"tea"' })
        expect(bar.brewed).toEqual(["tea"])

        const slow = yield* system.tell(Barista.ref("2"), "Brew", { drink: "slow" })
        const behind = yield* system.tell(Barista.ref("2"), "Brew", { drink: "mocha" })
        expect((yield* runPontoon("cancel", behind, "--db", file)).out).toBe(`Message ${behind} is cancelled.\n`)
        expect(yield* system.outcome(behind)).toMatchObject({ status: "cancelled" })
        const held = ["suspend", "barista/2"]
        yield* said(file, held, [
          "Actor barista/2 is suspended: what it runs may end, what waits and what comes waits.",
        ])
        yield* refused(file, held, "Actor barista/2 is gone, suspended already, or unknown to its owner.")
        expect((yield* runPontoon("resume", "barista/2", "--db", file)).out).toBe("Actor barista/2 goes on.\n")
        yield* refused(file, ["resume", "barista/2"], "Actor barista/2 is not suspended.")
        yield* said(
          file,
          ["stop", "barista/2"],
          ["Actor barista/2 stops: what it runs may end, what waits moves or becomes dead letters."],
        )
        expect(yield* runPontoon("stop", "barista/3", "--db", file)).toEqual({
          out: "",
          err: "pontoon: Actor barista/3 is not in its owner's memory, or has stopped already.\n",
          code: 1,
        })
        expect(yield* system.outcome(slow)).toMatchObject({ status: "dead" })
        yield* said(file, ["restart", "barista/2"], ["Actor barista/2 is restarted."])
        expect(yield* system.ask(Barista.ref("2"), "Brew", { drink: "tea" })).toBe("tea")
        yield* refused(file, ["restart", "robot/1"], "Actor robot/1 is about to stop, or unknown to its owner.")
        expect(statSync(`${file}.sock`).mode & 0o777).toBe(0o600)
        yield* close
        expect(statSync(`${file}.sock`, { throwIfNoEntry: false })).toBe(undefined)
      }),
    ))

  it("redrive --all goes through the owner, says what was refused, and fails then", () =>
    run(
      Effect.gen(function* () {
        const file = yield* deadLog
        const { bar, Barista } = makeBar()
        const { system } = yield* openBar(file, Barista)
        bar.hasMilk = true
        const { out, err, code } = yield* runPontoon("redrive", "--all", "--db", file)
        expect([out.split("\n"), err, code]).toEqual([
          [
            "Message dead-1 waits to be run again.",
            "Message dead-2 is for an actor cashier, which this system does not have; it was not redriven.",
            // It was running when its owner ended, and had one attempt.
            "Message ran waits to be run again.",
            "",
          ],
          "pontoon: 2 of 3 dead letters were redriven; 1 refused.\n",
          1,
        ])
        expect(yield* system.outcome("dead-1")).toMatchObject({ status: "failed" })
      }),
    ))

  it("of a full mailbox it waits as long as the owner says, and goes on; past its patience it says what is left", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const dead = ["m0", "m1", "m2", "m3"]
        yield* Effect.scoped(
          Effect.flatMap(SqliteStore.make(file), ({ commit }) =>
            commit(
              dead.flatMap((id) => [
                appendClaimed(id, { actorId: id === "m3" ? "2" : "1", task: "Brew", body: '{"drink":"tea"}' }),
                settle(id, 1, "dead"),
              ]),
            ),
          ),
        )
        let open = (): void => {}
        const opened = new Promise<void>((resolve) => {
          open = resolve
        })
        const Barista = Actor.make("barista", {
          protocol: [Rpc.make("Brew", { payload: { drink: Schema.String }, success: Schema.String })],
          mailbox: { capacity: 1 },
          handlers: {
            Brew: ({ drink }) =>
              Effect.as(
                Effect.promise(() => opened),
                drink,
              ),
          },
        })
        const { system } = yield* openBar(file, Barista)
        // The second that the owner asks for passes at once; every other wait is a real one.
        const real = yield* Clock.Clock
        let waits = 0
        const quick = (then: () => void): Clock.Clock => ({
          ...real,
          currentTimeMillisUnsafe: () => real.currentTimeMillisUnsafe(),
          currentTimeNanosUnsafe: () => real.currentTimeNanosUnsafe(),
          currentTimeMillis: real.currentTimeMillis,
          currentTimeNanos: real.currentTimeNanos,
          sleep: (duration) =>
            Duration.toMillis(duration) === 1_000
              ? Effect.promise(async () => {
                  waits++
                  then()
                  await new Promise((resolve) => setImmediate(resolve))
                })
              : real.sleep(duration),
        })
        const redriveAll = (then: () => void) =>
          Effect.provideService(play(file, ["redrive", "--actor", "barista"]), Clock.Clock, quick(then))
        const waiting = (id: string) => `Message ${id} waits to be run again.`
        // One runs, one waits, and there is no room for the third; the other actor's goes on.
        expect(yield* redriveAll(() => {})).toEqual({
          lines: ["m0", "m1", "m3"].map(waiting),
          failure: "3 of 4 dead letters were redriven; 1 left before full mailboxes.",
        })
        expect(waits).toBe(30)
        expect(yield* redriveAll(open)).toEqual({
          lines: [waiting("m2"), "1 of 1 dead letters were redriven."],
          failure: undefined,
        })
        for (const id of dead) expect(yield* system.outcome(id)).toMatchObject({ status: "done" })
      }),
    ))

  it("a path too long for a socket gets one elsewhere, and a socket left behind is nobody's", () =>
    run(
      Effect.gen(function* () {
        const folder = join(yield* temporaryFolder, "f".repeat(100))
        mkdirSync(folder)
        const file = join(folder, "pontoon.db")
        expect(Buffer.byteLength(operatorSocket(file)) < 100).toBe(true)
        const { Barista } = makeBar()
        const { system, close } = yield* openBar(file, Barista)
        const slow = yield* system.tell(Barista.ref("1"), "Brew", { drink: "slow" })
        yield* said(file, ["cancel", slow], [`Message ${slow} is cancelled.`])
        yield* close
        expect(statSync(operatorSocket(file), { throwIfNoEntry: false })).toBe(undefined)

        const left = yield* temporaryFile
        const child = yield* startChild("holdSystem.ts", [left])
        expect(yield* Effect.promise(child.line)).toBe("open")
        child.process.kill("SIGKILL")
        yield* Effect.promise(() => child.ended)
        expect(statSync(`${left}.sock`).isSocket()).toBe(true)
        yield* refused(left, ["redrive", "nobody"], "There is no message nobody in the log.")
        const second = yield* openBar(left, Barista)
        yield* refused(left, ["redrive", "nobody"], "There is no message nobody in the log.")
        yield* refused(
          left,
          ["stop", "barista/1"],
          "Actor barista/1 is not in its owner's memory, or has stopped already.",
        )
        yield* second.close
      }),
    ))
})

/** Sends text to a socket, and gives what comes back until it ends, or until the first line. */
const exchange = (path: string, text: string): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const socket = createConnection(path)
    let heard = ""
    const done = () => {
      socket.destroy()
      resume(Effect.succeed(heard))
    }
    socket.setEncoding("utf8").on("data", (part: string) => {
      heard += part
      if (heard.includes("\n")) done()
    })
    socket.on("error", done)
    socket.on("close", done)
    socket.write(text)
  })

describe("4 the socket's bounds", () => {
  it("answers what it does not know, refuses what is too large, and takes so many at once", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const { Barista } = makeBar()
        yield* openBar(file, Barista)
        const path = `${file}.sock`
        for (const text of ["nonsense\n", '{"command":"erase"}\n']) {
          expect(JSON.parse(yield* exchange(path, text))).toMatchObject({
            ok: false,
            message: expect.stringContaining("does not know this request"),
          })
        }
        const large = yield* exchange(path, "x".repeat(REQUEST_BYTES_MAX + 1))
        expect(JSON.parse(large).message).toBe(`A request may have ${REQUEST_BYTES_MAX} bytes; this one has more.`)

        const sockets = yield* Effect.forEach(Array.from({ length: 8 }), () =>
          Effect.callback<ReturnType<typeof createConnection>>((resume) => {
            const socket = createConnection(path)
            // It counts once it is answered.
            socket.once("data", () => resume(Effect.succeed(socket)))
            socket.write("nonsense\n")
          }),
        )
        expect(yield* exchange(path, "nonsense\n")).toBe("")
        for (const socket of sockets) socket.destroy()
      }),
    ))
})
