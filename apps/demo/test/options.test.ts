import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { describe, expect, it, vi } from "vitest"
import { type DemoOptions, makeDemoCommand } from "../src/options.ts"
import { runCommand } from "../src/terminal/runCommand.ts"

/** Runs the demo's command with a `play` that only looks at its options. */
const runDemo = async (...args: ReadonlyArray<string>) => {
  let options: DemoOptions | undefined
  const command = makeDemoCommand((given) =>
    Effect.sync(() => {
      options = given
    }),
  )
  const errors: Array<string> = []
  const console = { ...globalThis.console, log: vi.fn(), error: (text: string) => errors.push(text) }
  const status = await Effect.runPromise(
    runCommand(command, args).pipe(Effect.provideService(Console.Console, console), Effect.provide(NodeServices.layer)),
  )
  return { options, status, errors: errors.join("\n") }
}

const folder = mkdtempSync(join(tmpdir(), "pontoon-options-"))
const write = (name: string, text: string) => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

describe("the demo's command line, misused", () => {
  it.each([
    [["--twice"], /--twice/],
    [["--device", "tpu"], /tpu/],
    [["--seed", "-1"], /seed/],
    [["--seed", "many"], /many/],
    [["--seed", "2147483648"], /seed/],
  ])("1. %j is refused with status 2 and never played", async (args, said) => {
    const { errors, options, status } = await runDemo(...args)
    expect(status).toBe(2)
    expect(errors).toMatch(said)
    expect(options).toBeUndefined()
  })
  it("2. says in one sentence what is wrong with --input, and exits with 1", async () => {
    const broken = write("broken.jsonl", 'hello\n{"conversation":"a"}\n')
    const { errors, options, status } = await runDemo("--input", broken)
    expect(errors).toMatch(/^.*broken\.jsonl, line 2: .*$/)
    expect(errors).not.toContain("\n")
    expect([status, options]).toEqual([1, undefined])
    expect((await runDemo("--input", join(folder, "none"))).errors).toMatch(/none: cannot be read \(NotFound\)/)
  })
  it("3. prints the sentence of a failure of the play, and a defect whole", async () => {
    const errors: Array<string> = []
    const console = { ...globalThis.console, error: (text: string) => errors.push(text) }
    const run = (play: Effect.Effect<void, Error>) =>
      Effect.runPromise(
        runCommand(
          makeDemoCommand(() => play),
          [],
        ).pipe(Effect.provideService(Console.Console, console), Effect.provide(NodeServices.layer)),
      )
    expect(await run(Effect.fail(new Error("The disk is full.")))).toBe(1)
    expect(errors).toEqual(["The disk is full."])
    expect(await run(Effect.die(new TypeError("a bug")))).toBe(1)
    expect(errors[1]).toMatch(/TypeError: a bug\n\s+at /)
  })
})

describe("the demo's command line", () => {
  it("4. needs no flag", async () => {
    const { options, status } = await runDemo()
    expect(status).toBe(0)
    expect(options).toMatchObject({ once: false, db: undefined, seed: 1, device: "cpu" })
    expect(options!.messages.length).toBeGreaterThanOrEqual(60)
  })
  it("5. takes every flag", async () => {
    const input = write("in.txt", "first\nsecond\n")
    const { options } = await runDemo("--once", "--db", "a.db", "--seed", "7", "--input", input, "--device", "webgpu")
    expect(options).toEqual({
      once: true,
      db: expect.stringMatching(/a\.db$/),
      seed: 7,
      device: "webgpu",
      messages: [
        { conversation: "line-1", text: "first" },
        { conversation: "line-2", text: "second" },
      ],
    })
  })
  it("6. plays the same order for the same seed, another for another", async () => {
    const order = async (seed: string) => (await runDemo("--seed", seed)).options!.messages.map((one) => one.text)
    const first = await order("5")
    expect(await order("5")).toEqual(first)
    expect(await order("6")).not.toEqual(first)
  })
  it("7. exits with 0 for --help", async () => {
    expect((await runDemo("--help")).status).toBe(0)
  })
})
