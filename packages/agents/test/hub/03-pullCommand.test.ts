/** `pontoon-models pull` as a child process: what it prints, and that it is killed and goes on. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { formatBar } from "../../src/commands/pullRepo.ts"
import { fixture } from "../support/engines.ts"
import { type FakeHub, REPO, startHub } from "../support/fakeHub.ts"
import { startModels } from "../support/runModels.ts"

const folder = mkdtempSync(join(tmpdir(), "pontoon-pull-command-"))
const to = join(folder, "tiny")
const WEIGHTS = "onnx/model.onnx"
const content = (path: string) => readFileSync(join(fixture("tiny-decoder"), path))

let hub: FakeHub
beforeAll(async () => {
  const paths = ["config.json", "tokenizer.json", "tokenizer_config.json", WEIGHTS]
  hub = await startHub(Object.fromEntries(paths.map((path) => [path, content(path)])))
})
afterAll(async () => {
  await hub.close()
  rmSync(folder, { recursive: true, force: true })
})

const pull = (...flags: ReadonlyArray<string>) =>
  startModels(["pull", REPO, "--to", to, ...flags], { HF_ENDPOINT: `${hub.url}/`, HF_TOKEN: "", HF_HUB_OFFLINE: "" })

const STALL_AFTER = 50_000

describe("pontoon-models pull", () => {
  it("1. is killed in the middle of a file, and the next one goes on there", async () => {
    hub.faults = { stallAfter: STALL_AFTER }
    const { child, ended } = pull()
    const part = join(to, ".pull", hub.commit, `${WEIGHTS}.part`)
    while (child.exitCode === null && (statSync(part, { throwIfNoEntry: false })?.size ?? 0) < STALL_AFTER) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    child.kill("SIGKILL")
    expect((await ended).code).toBe(null)

    hub.faults = {}
    hub.requests.length = 0
    const { code, err, out } = await pull().ended
    expect(hub.requests.at(-1)).toMatchObject({ what: `lfs ${WEIGHTS}`, from: STALL_AFTER })
    expect({ code, out }).toEqual({
      code: 0,
      out: `${to} has ${REPO} at ${hub.commit.slice(0, 12)}, fp32, 4 files, 114.8 kB.\n`,
    })
    // What had come was there; a line for each file all the same.
    expect(err).toContain(`${WEIGHTS}  107.7 kB\n`)
    expect(readFileSync(join(to, WEIGHTS))).toEqual(content(WEIGHTS))
  })
  it("2. says where there is nothing new, and what is wrong in a sentence", async () => {
    const [again, wrong] = await Promise.all([
      pull("--revision", hub.commit, "--json").ended,
      pull("--dtype", "q4").ended,
    ])
    expect(JSON.parse(again.out)).toMatchObject({ isNew: false, commit: hub.commit, dtype: "fp32" })
    expect(wrong).toEqual({
      out: "",
      err: `pontoon-models: ${REPO} has no weights of dtype q4; it has fp32.\n`,
      code: 1,
    })
  })
  it("3. draws a bar", () => {
    const progress = { file: "a", fileBytes: 0, fileBytesMax: 10, bytes: 1_000_000, bytesMax: 10_000_000 }
    expect(formatBar(progress)).toBe(`[###${".".repeat(27)}]  10 %  1.00 MB of 10.0 MB  a`)
    expect(formatBar({ ...progress, bytesMax: 0 })).toMatch(/^\[#{30}\] 100 %/)
  })
})
