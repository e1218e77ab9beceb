/** Pulls from a hub with faults: what is here afterwards, what was asked for, and what is said. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest"
import { FRUITLESS_MAX } from "../../src/hub/downloadFile.ts"
import { type PullOptions, pullModel } from "../../src/hub/pullModel.ts"
import { readModelFolder } from "../../src/inference/folder/modelFolder.ts"
import { fixture } from "../support/engines.ts"
import { type FakeHub, type HubFaults, REPO, startHub } from "../support/fakeHub.ts"

const root = mkdtempSync(join(tmpdir(), "pontoon-pull-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const FILES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
const WEIGHTS = "onnx/model.onnx"
const content = (path: string) => readFileSync(join(fixture("tiny-decoder"), path))

let hub: FakeHub
let folder: string
let count = 0
beforeEach(async () => {
  const paths = [...FILES, WEIGHTS, "onnx/model_quantized.onnx"]
  hub = await startHub({
    ...Object.fromEntries(paths.map((path) => [path, content(path)])),
    "README.md": Buffer.from("hi"),
  })
  folder = join(root, `model-${count++}`)
})
afterEach(() => hub.close())

const hasArrived = (path: string, bytes: number): boolean => {
  const part = statSync(join(folder, ".pull", hub.commit, `${path}.part`), { throwIfNoEntry: false })
  return part !== undefined && part.size >= bytes
}

interface Change {
  readonly to?: string
  readonly token?: string
  readonly revision?: string
  readonly dtype?: PullOptions["dtype"]
  readonly isOffline?: boolean
  readonly hub?: string
  readonly repo?: string
}

const optionsOf = ({
  dtype = "auto",
  isOffline = false,
  repo = REPO,
  revision = "main",
  to = folder,
  token,
  ...rest
}: Change): PullOptions => ({
  address: { hub: rest.hub ?? hub.url, repo, revision, token },
  ...{ dtype, to, isOffline, fetch, waitMs: () => 0, onProgress: () => {} },
})
const pull = (change: Change = {}) => Effect.runPromise(pullModel(optionsOf(change)))
const refused = (change: Change = {}) => Effect.runPromise(Effect.flip(pullModel(optionsOf(change))))
const asked = () => hub.requests.splice(0).map(({ from, what }) => (from === 0 ? what : `${what} from ${from}`))
const load = (dtype: PullOptions["dtype"] = "auto") =>
  Effect.runPromise(Effect.result(readModelFolder("m", folder, dtype)))
const listed = (path: string) => readdirSync(path, { recursive: true, encoding: "utf8" }).sort()

describe("a pull", () => {
  it("1. brings the files of one variant, and nothing else, and they load", async () => {
    const report = await pull()
    expect(report).toMatchObject({ commit: hub.commit, dtype: "fp32", isNew: true, others: [{ dtype: "int8" }] })
    expect(listed(folder)).toEqual([".pontoon.json", ...FILES, "onnx", WEIGHTS].sort())
    for (const path of [...FILES, WEIGHTS]) expect(readFileSync(join(folder, path))).toEqual(content(path))
    expect(asked().sort()).toEqual(["info", "tree", ...FILES, WEIGHTS, `lfs ${WEIGHTS}`].sort())
    expect(await load()).toMatchObject({ _tag: "Success", success: { dtype: "fp32" } })
  })
  it("2. of what is here asks once whether there is more; of a commit, or offline, nothing", async () => {
    await pull()
    asked()
    expect(await pull()).toMatchObject({ isNew: false, unasked: undefined })
    expect(asked()).toEqual(["info"])
    expect(await pull({ revision: hub.commit })).toMatchObject({ isNew: false, unasked: "a commit does not change" })
    expect(await pull({ isOffline: true })).toMatchObject({ isNew: false, unasked: "HF_HUB_OFFLINE is set" })
    expect(asked()).toEqual([])
    hub.faults = { status: 503 }
    expect(await pull()).toMatchObject({ isNew: false, unasked: `${hub.url} answers 503 for ${REPO}` })
    expect((await refused({ dtype: "int8", isOffline: true })).message).toMatch(
      /HF_HUB_OFFLINE is set; unset it to fetch/,
    )
  })
  it("3. of another variant adds it; a file that was lost is fetched again", async () => {
    await pull()
    asked()
    await pull({ dtype: "int8" })
    expect(asked()).toEqual(["info", "tree", "onnx/model_quantized.onnx", "lfs onnx/model_quantized.onnx"])
    rmSync(join(folder, "config.json"))
    await pull()
    expect(asked()).toEqual(["info", "tree", "config.json"])
    expect(await load("int8")).toMatchObject({ _tag: "Success" })
  })
  it("4. of a new revision brings what changed, of every variant that is here", async () => {
    await pull()
    await pull({ dtype: "int8" })
    asked()
    hub.commit = "b".repeat(40)
    hub.files.set(
      "onnx/model_quantized.onnx",
      Buffer.concat([content("onnx/model_quantized.onnx"), Buffer.from([0x78, 1])]),
    )
    await pull({ dtype: "fp32" })
    expect(asked()).toEqual(["info", "tree", "onnx/model_quantized.onnx", "lfs onnx/model_quantized.onnx"])
    expect(statSync(join(folder, "onnx/model_quantized.onnx")).size).toBe(
      content("onnx/model_quantized.onnx").length + 2,
    )
  })
  it("5. gives its token to the hub and not to the host that large files are on", async () => {
    hub.faults = { wantsToken: true }
    await pull({ token: "hf_secret" })
    for (const { authorization, what } of hub.requests) {
      expect([what, authorization]).toEqual([what, what.startsWith("lfs") ? undefined : "Bearer hf_secret"])
    }
  })
})

describe("a pull that is cut off", () => {
  it("6. goes on where it was, as long as something comes", async () => {
    hub.faults = { cutAfter: 9000, cuts: 3, hasArrived }
    await pull()
    const from = hub.requests.filter(({ what }) => what === `lfs ${WEIGHTS}`).map((request) => request.from)
    expect(from.length).toBe(4)
    expect(from).toEqual([...from].sort((a, b) => a - b))
    expect(new Set(from).size).toBe(4)
    expect(readFileSync(join(folder, WEIGHTS))).toEqual(content(WEIGHTS))
  })
  it("7. ends when nothing more comes; the folder is no model, and the next pull goes on", async () => {
    // Once the connection was cut, none brings a byte any more.
    let cuts = 0
    hub.faults = {
      cuts: 1000,
      hasArrived,
      get cutAfter() {
        return cuts++ === 0 ? 9000 : 0
      },
    }
    const { message, _tag } = await refused()
    expect(_tag).toBe("RetryablePullFailed")
    expect(message).toMatch(/Run the same command again: it goes on at byte \d+\.$/)
    expect(hub.requests.filter(({ what }) => what === `lfs ${WEIGHTS}`).length).toBe(FRUITLESS_MAX + 2)
    expect(await load()).toMatchObject({
      _tag: "Failure",
      failure: {
        message: expect.stringMatching(
          /is not complete, because a pull into it was cut off; run the same "pontoon-models pull" again/,
        ),
      },
    })
    hub.faults = {}
    asked()
    await pull()
    const again = asked()
    expect(again.slice(0, 2)).toEqual(["info", "tree"])
    // What had come is not fetched again.
    expect(again.length).toBe(4)
    expect(Number(/from (\d+)$/.exec(again.at(-1) ?? "")?.[1])).toBeGreaterThan(0)
    expect(await load()).toMatchObject({ _tag: "Success" })
  })
  it("8. while files took their places says so when it is loaded, and fetches no file twice", async () => {
    await pull()
    mkdirSync(join(folder, ".pull", hub.commit), { recursive: true })
    writeFileSync(join(folder, ".pull/moving"), "")
    rmSync(join(folder, "generation_config.json"))
    expect(await load()).toMatchObject({
      failure: { reason: "incomplete", message: expect.stringMatching(/holds parts of two revisions/) },
    })
    asked()
    await pull()
    expect(asked()).toEqual(["info", "tree", "generation_config.json"])
    expect(existsSync(join(folder, ".pull"))).toBe(false)
    expect(await load()).toMatchObject({ _tag: "Success" })
  })
  it("9. of a new revision leaves the old one as it was", async () => {
    await pull()
    hub.commit = "c".repeat(40)
    hub.files.set("generation_config.json", Buffer.from("{}"))
    hub.files.set(WEIGHTS, Buffer.concat([content(WEIGHTS), Buffer.from([0x78, 1])]))
    hub.faults = { cutAfter: 0, cuts: 1000 }
    await refused()
    expect(await load()).toMatchObject({ _tag: "Success" })
    expect(readFileSync(join(folder, "generation_config.json"))).toEqual(content("generation_config.json"))
  })
})

describe("a hub that is not as it should be", () => {
  const cases: ReadonlyArray<readonly [string, HubFaults, Change, RegExp]> = [
    [
      "without a token",
      { wantsToken: true },
      {},
      /^http:\S+ has no someone\/tiny that can be read without a token \(401\); check the name, or set HF_TOKEN\.$/,
    ],
    ["with a wrong token", { status: 401 }, { token: "hf_x" }, /does not accept HF_TOKEN for someone\/tiny \(401\)/],
    ["with what is no token", {}, { token: "x" }, /^HF_TOKEN is no token of a hub/],
    [
      "of a gated model",
      { status: 403 },
      { token: "hf_x" },
      /does not let this HF_TOKEN read someone\/tiny \(403\); accept its terms at http:\S+\/someone\/tiny/,
    ],
    [
      "of another name",
      {},
      { repo: "someone/else" },
      /has no model someone\/else with a revision main \(404\); check both names\.$/,
    ],
    ["of a strange name", {}, { repo: "tiny" }, /^"tiny" is no model of a hub; give it as owner\/name\.$/],
    ["of no such revision", {}, { revision: "v9" }, /with a revision v9 \(404\)/],
    [
      "of a file that is listed only",
      { statusOf: { "config.json": 404 } },
      {},
      /lists config\.json in someone\/tiny and does not have it \(404\)/,
    ],
    ["that is busy", { status: 503 }, {}, /answers 503 for someone\/tiny\. Run the same command again\.$/],
    ["that is none", { isWebsite: true }, {}, /does not answer as a Hugging Face hub does .*; check HF_ENDPOINT\.$/],
    [
      "that is not there",
      {},
      { hub: "http://127.0.0.1:9" },
      /cannot be reached \(.+\)\. Run the same command again\.$/,
    ],
    [
      "that gives other bytes",
      { lies: true },
      {},
      /^config\.json is not what \S+ lists: its git-sha1 is \w{12}… and should be \w{12}…; it is thrown away, run the same command again\.$/,
    ],
    [
      "that gives more than it lists",
      { sizes: { [WEIGHTS]: 100 } },
      {},
      /^onnx\/model\.onnx has \d+ bytes and http:\S+ lists 100; try again later\.$/,
    ],
    [
      "that lists more than it has",
      { sizes: { [WEIGHTS]: 1e6 } },
      {},
      /^onnx\/model\.onnx has \d+ bytes and http:\S+ lists 1000000;/,
    ],
    [
      "that has what no disk can hold",
      { sizes: { [WEIGHTS]: 1e17 } },
      {},
      /lies on a disk with \d+ bytes free and 1\d+ are needed; make room/,
    ],
    [
      "that answers with another part",
      { cutAfter: 9000, cuts: 1, shifts: true },
      {},
      /answers with another part of onnx\/model\.onnx/,
    ],
  ]
  it.each(cases)("10. %s", async (_, faults, change, message) => {
    hub.faults = { ...faults, hasArrived }
    expect((await refused(change)).message).toMatch(message)
    expect(await load()).toMatchObject({ _tag: "Failure" })
    // And the day it is well again, so is the pull.
    hub.faults = {}
    expect(await pull()).toMatchObject({ isNew: true })
    expect(readFileSync(join(folder, WEIGHTS))).toEqual(content(WEIGHTS))
  })
  it("11. is asked again where it was busy, and taken as it is where it knows no ranges", async () => {
    hub.faults = { busy: 2, cutAfter: 9000, cuts: 1, ignoresRanges: true, hasArrived }
    await pull()
    expect(readFileSync(join(folder, WEIGHTS))).toEqual(content(WEIGHTS))
  })
  it("12. whose part of an earlier day was another file's: it is fetched as a whole", async () => {
    const staged = join(folder, ".pull", hub.commit, "onnx")
    mkdirSync(staged, { recursive: true })
    writeFileSync(join(staged, "model.onnx.part"), "something else")
    await pull()
    expect(asked().filter((what) => what.startsWith("lfs"))).toEqual([`lfs ${WEIGHTS} from 14`, `lfs ${WEIGHTS}`])
    expect(readFileSync(join(folder, WEIGHTS))).toEqual(content(WEIGHTS))
    // One that is longer than the file: the hub has no byte behind its end.
    rmSync(folder, { recursive: true })
    mkdirSync(staged, { recursive: true })
    writeFileSync(join(staged, "model.onnx.part"), Buffer.alloc(content(WEIGHTS).length + 9))
    await pull()
    expect(readFileSync(join(folder, WEIGHTS))).toEqual(content(WEIGHTS))
  })
})

describe("a disk", () => {
  // A device that is always full.
  it.runIf(existsSync("/dev/full"))(
    "13. that is full: one sentence, and the pull goes on when there is room",
    async () => {
      const staged = join(folder, ".pull", hub.commit, "onnx")
      mkdirSync(staged, { recursive: true })
      symlinkSync("/dev/full", join(staged, "model.onnx.part"))
      expect((await refused()).message).toMatch(
        /cannot be written: the disk is full; make room, and run the same command again\.$/,
      )
      rmSync(join(staged, "model.onnx.part"))
      expect(await pull()).toMatchObject({ isNew: true })
    },
  )
  it("14. on which the folder is somebody else's", async () => {
    mkdirSync(folder)
    writeFileSync(join(folder, "notes.txt"), "mine")
    expect((await refused()).message).toMatch(/is there already and was not pulled from a hub; give another folder/)
    expect((await refused({ to: join(folder, "notes.txt") })).message).toMatch(/is a file; give a folder with --to\.$/)
    rmSync(folder, { recursive: true })
    await pull()
    expect((await refused({ repo: "someone/else" })).message).toMatch(/holds another model, someone\/tiny/)
  })
})
