/** The `pontoon-models` command as a child process: misuse first, then what it prints, how it ends. */
import { readdirSync, readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { fixture } from "../support/engines.ts"
import { runModels, startModels } from "../support/runModels.ts"

const DECODER = fixture("tiny-decoder")
const ENCODER = fixture("tiny-encoder")

describe("misuse", () => {
  it("1. a wrong command line: one sentence, exit code 2", async () => {
    const cases = {
      frob: 'Unknown subcommand "frob" for "pontoon-models". See pontoon-models --help.',
      [`generate ${DECODER}`]: "Missing required flag: --prompt. See pontoon-models generate --help.",
      [`inspect ${DECODER} --slots 0`]:
        'Invalid value for flag --slots: "0". Expected: Schema validation failed: Expected a whole number from 1 to 256. See pontoon-models inspect --help.',
    }
    const ran = await Promise.all(Object.keys(cases).map((line) => runModels(...line.split(" "))))
    expect(ran).toEqual(
      Object.values(cases).map((message) => ({ out: "", err: `pontoon-models: ${message}\n`, code: 2 })),
    )
  })
  it("2. what cannot be done: one sentence, exit code 1", async () => {
    const [missing, encoder] = await Promise.all([
      runModels("inspect", "/none"),
      runModels("generate", ENCODER, "--prompt", "hi"),
    ])
    const message = 'Model "none": there is no folder /none; set `folder` to where the model is.'
    expect(missing).toEqual({ out: "", err: `pontoon-models: ${message}\n`, code: 1 })
    expect(encoder).toMatchObject({ out: "", code: 1 })
    expect(encoder.err).toMatch(/^pontoon-models: [^\n]* If it is an encoder, run: pontoon-models classify \S+ TEXT\n$/)
  })
})

describe("results", () => {
  it("3. an answer is text, or an object with its tokens", async () => {
    const args = ["generate", DECODER, "--prompt", "hello", "--max-tokens", "12", "--seed", "7", "--temperature", "1"]
    const [plain, json] = await Promise.all([runModels(...args), runModels(...args, "--json")])
    const answer = JSON.parse(json.out)
    expect(plain).toEqual({ out: `${answer.text}\n`, err: "", code: 0 })
    expect(answer).toMatchObject({
      reason: expect.stringMatching(/end|length/),
      usage: { completionTokens: answer.tokens.length },
    })
    expect(answer.tokens.length).toBeGreaterThan(3)
  })
  it("4. a reader who goes away is no error", async () => {
    const { child, ended } = startModels(["generate", DECODER, "--prompt", "hello", "--max-tokens", "40"])
    child.stdout.destroy()
    expect(await ended).toEqual({ out: "", err: "", code: 0 })
  })
  it("5. help names every command", async () => {
    const { code, out } = await runModels("--help")
    for (const name of ["inspect", "generate", "classify", "bench", "quantize"]) expect(out).toContain(`  ${name} `)
    expect(code).toBe(0)
  })
})

const isLinux = process.platform === "linux"

/** The model's process, once it runs its own program: between the two it shares what its parent has open. */
const modelOf = (pid: number): number | undefined =>
  readdirSync(`/proc/${pid}/task`)
    .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim().split(" "))
    .filter((child) => child !== "" && readFileSync(`/proc/${child}/cmdline`, "utf8").includes("engineWorker"))
    .map(Number)[0]

describe("Ctrl-C", () => {
  // /proc says who is whose child.
  it.runIf(isLinux)("6. ends it with 130, and the model's process, even one that hears nothing", async () => {
    const { child, ended } = startModels(["generate", DECODER, "--prompt", "hello"])
    let model: number | undefined
    while (model === undefined && child.exitCode === null) {
      model = modelOf(child.pid ?? -1)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(model).toBeDefined()
    // It neither loads nor answers from here on.
    process.kill(model!, "SIGSTOP")
    child.kill("SIGINT")
    expect(await ended).toEqual({ out: "", err: "", code: 130 })
    expect(() => process.kill(model!, 0)).toThrow("ESRCH")
  })
})
