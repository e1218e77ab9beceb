/** A process that is told to end while it works: what runs may finish, within a bound, and nothing is lost. */
import { describe, expect, it } from "@effect/vitest"
import type { MessageRow } from "@pontoon/runtime"
import { Effect, Fiber, Schedule } from "effect"
import { SqliteLogReader } from "../src/index.ts"
import { type Child, startChild } from "./support/childProcess.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

/** Reads lines until all of `texts` have been said, in any order; gives everything that was said. */
const heard = (child: Child, ...texts: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const lines: Array<string> = []
    while (!texts.every((text) => lines.includes(text))) {
      const line = await child.line()
      if (line === undefined) throw new Error(`it ended after: ${lines.join(", ")}`)
      lines.push(line)
    }
    return lines
  })

/** Everything that it still says, and how it ended. */
const rest = (child: Child) =>
  Effect.promise(async () => {
    const lines: Array<string> = []
    for (let line = await child.line(); line !== undefined; line = await child.line()) lines.push(line)
    return { lines, ended: await child.ended }
  })

const messagesOf = (file: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const reader = yield* SqliteLogReader.make(file)
      const rows: ReadonlyArray<MessageRow> = yield* reader.messages({ limit: 10 })
      const [actor] = yield* reader.actors(1)
      return { rows: rows.map(({ attempt, status }) => `${status} ${attempt}`), state: actor?.state ?? null }
    }),
  )

const start = (file: string, drainMsMax: number, ...ids: ReadonlyArray<string>) =>
  startChild("drainingApp.ts", [file, String(drainMsMax), ...ids])

describe("a process that gets SIGTERM", () => {
  it.live("1. lets what runs finish; what waits is there for the next, and the process ends by the signal", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const app = yield* start(file, 60_000, "gated")
      yield* heard(app, "runs gated 1", "open")
      app.process.kill("SIGTERM")
      yield* heard(app, "told to end")
      app.process.kill("SIGUSR2")
      expect(yield* rest(app)).toEqual({ lines: [], ended: "SIGTERM" })
      expect(yield* messagesOf(file)).toEqual({ rows: ["done 1", "pending 0", "pending 0"], state: "[1]" })
      const next = yield* start(file, 60_000)
      expect(yield* heard(next, "runs gated 2", "open")).not.toContain("runs gated 1")
      next.process.kill("SIGUSR2")
      yield* heard(next, "runs gated 3")
    }),
  )
  it.live("2. waits no longer than drainMsMax for a handler that never ends; kill -9 after that loses nothing", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const app = yield* start(file, 50, "stuck")
      yield* heard(app, "runs stuck 1", "open")
      app.process.kill("SIGTERM")
      expect(yield* rest(app)).toEqual({ lines: ["told to end"], ended: "SIGTERM" })
      expect((yield* messagesOf(file)).rows).toEqual(["running 1", "pending 0", "pending 0"])
      const next = yield* start(file, 60_000)
      // The retry comes before those behind it, and does not hold them back.
      yield* heard(next, "open")
      next.process.kill("SIGKILL")
      expect((yield* rest(next)).ended).toBe("SIGKILL")
      const { rows } = yield* messagesOf(file)
      expect(rows.filter((row) => /^(running|pending)/.test(row)).length).toBe(3)
    }),
  )
  it.live("3. twice, ends at once", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const app = yield* start(file, 600_000, "stuck")
      yield* heard(app, "runs stuck 1", "open")
      const nagging = yield* Effect.forkChild(
        Effect.repeat(
          Effect.sync(() => app.process.kill("SIGTERM")),
          Schedule.spaced(50),
        ),
      )
      expect((yield* rest(app)).ended).toBe("SIGTERM")
      yield* Fiber.interrupt(nagging)
      expect((yield* messagesOf(file)).rows).toEqual(["running 1", "pending 0", "pending 0"])
    }),
  )
})
