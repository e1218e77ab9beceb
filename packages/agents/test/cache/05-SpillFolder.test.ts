import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { SpillFolder, type SpillFolderOptions } from "../../src/inference/cache/SpillFolder.ts"
import { assistant, fixture, openDecoder, user } from "../support/engines.ts"
import { openLoaded } from "../support/loadedDecoders.ts"

const SHAPES = [
  { heads: 2, headDim: 3, type: "float32" },
  { heads: 1, headDim: 2, type: "float16" },
] as const
const tokensOf = (first: number, length = 40) => Array.from({ length }, (_, index) => first * 1000 + index)
/** A beginning in two pieces, whose numbers depend on the tokens. */
const pathOf = (tokenIds: ReadonlyArray<number>) => {
  const piece = (from: number, to: number) => {
    const part = tokenIds.slice(from, to)
    const floats = Float32Array.from([0, 1].flatMap((head) => part.flatMap((id) => [id + head, id, 0.5])))
    return {
      length: to - from,
      shapes: SHAPES,
      buffers: [floats, Uint16Array.from(part.flatMap((id) => [id, id % 7]))],
    }
  }
  return { tokenIds, segments: [piece(0, 10), piece(10, tokenIds.length)] }
}
const BYTES_EACH = 40 * (24 + 4) + 8 * 40 + 256

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pontoon-spill-"))
})
afterEach(() => rmSync(folder, { recursive: true }))
const files = () => readdirSync(folder).sort()

describe("SpillFolder", () => {
  const open = (options: Partial<SpillFolderOptions> = {}) =>
    new SpillFolder({
      folder,
      bytesMax: 1e9,
      weightsHash: "w",
      layout: "l",
      shapes: SHAPES,
      blockTokens: 1,
      ...options,
    })
  const recall = (spill: SpillFolder, tokenIds: ReadonlyArray<number>) => spill.recall(tokenIds, 0, tokenIds.length)

  it("gives back what it took in, in whole or in part, before and after it is on the disk, and in another process", async () => {
    const spill = open()
    spill.keep(pathOf(tokensOf(1)))
    const tokenIds = [...tokensOf(1).slice(0, 35), 9, 9]
    const inFlight = recall(spill, tokenIds)
    await spill.settled()
    const onDisk = recall(spill, tokenIds)
    const elsewhere = recall(open(), tokenIds)
    for (const path of [inFlight, onDisk, elsewhere]) {
      expect(path?.tokenIds).toEqual(tokensOf(1).slice(0, 35))
      const [floats, halves] = path!.segments[0]!.buffers
      expect([...floats!]).toEqual(
        [0, 1].flatMap((head) =>
          tokensOf(1)
            .slice(0, 35)
            .flatMap((id) => [id + head, id, 0.5]),
        ),
      )
      expect([...halves!]).toEqual(
        tokensOf(1)
          .slice(0, 35)
          .flatMap((id) => [id, id % 7]),
      )
    }
    expect(spill.recall(tokenIds, 20, 37)).toBeUndefined()
    expect(recall(spill, tokensOf(2))).toBeUndefined()
    expect(open({ blockTokens: 16 }).recall(tokenIds, 0, 37)?.tokenIds).toHaveLength(32)
  })

  it("is for its owner's eyes, under names that say nothing, and holds a conversation once", async () => {
    const spill = open()
    spill.keep(pathOf(tokensOf(1)))
    spill.keep(pathOf(tokensOf(1, 50)))
    spill.keep(pathOf(tokensOf(1, 45)))
    await spill.settled()
    expect(files()).toHaveLength(1)
    expect(files()[0]).toMatch(/^[0-9a-f]{64}\.kv$/)
    expect(statSync(join(folder, files()[0]!)).mode & 0o777).toBe(0o600)
    expect(spill.counters()).toMatchObject({ spilledConversations: 1, spillFailures: 0 })
  })

  it("takes no more than it may, the least recently used going first, and no more than it may after a start", async () => {
    const spill = open({ bytesMax: 3 * BYTES_EACH })
    for (const first of [1, 2, 3]) spill.keep(pathOf(tokensOf(first)))
    recall(spill, tokensOf(1))
    spill.keep(pathOf(tokensOf(4)))
    spill.keep(pathOf(tokensOf(5, 500)))
    await spill.settled()
    expect([1, 2, 3, 4, 5].map((first) => recall(spill, tokensOf(first)) !== undefined)).toEqual([
      true,
      false,
      true,
      true,
      false,
    ])
    expect(files()).toHaveLength(3)
    expect(spill.counters().spilledBytes).toBeLessThanOrEqual(3 * BYTES_EACH)
    expect(open({ bytesMax: 2 * BYTES_EACH }).counters().spilledConversations).toBeLessThanOrEqual(2)
    expect(files().length).toBeLessThanOrEqual(2)
  })

  it("loses nothing on a full disk: it counts, leaves no rest behind, and goes on when there is room", async () => {
    let full = true
    const write = async (file: string, pieces: ReadonlyArray<Uint8Array>) => {
      writeFileSync(file, full ? pieces[0]! : Buffer.concat(pieces))
      if (full) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" })
    }
    const spill = open({ write })
    spill.keep(pathOf(tokensOf(1)))
    await spill.settled()
    expect(spill.counters()).toEqual({ spilledConversations: 0, spilledBytes: 0, spillFailures: 1 })
    expect(files()).toEqual([])
    expect(recall(spill, tokensOf(1))).toBeUndefined()
    full = false
    spill.keep(pathOf(tokensOf(1)))
    await spill.settled()
    expect(recall(spill, tokensOf(1))?.tokenIds).toHaveLength(40)
  })

  it("does not let a slow disk take memory without a bound", async () => {
    let release = () => {}
    const slow = new Promise<void>((resolve) => (release = resolve))
    const spill = open({ write: () => slow })
    const huge = (first: number) => {
      const length = 40
      const shapes = [{ heads: 1, headDim: 250_000, type: "float32" }] as const
      return {
        tokenIds: tokensOf(first),
        segments: [{ length, shapes, buffers: [new Float32Array(250_000 * length)] }],
      }
    }
    // 40 MB each, and 64 MiB may be under way.
    spill.keep(huge(1))
    spill.keep(huge(2))
    expect(spill.counters()).toMatchObject({ spilledConversations: 1, spillFailures: 1 })
    release()
    await spill.settled()
  })

  it("removes what is damaged, cut off or of other weights, and leaves alone what is not its own", async () => {
    const spill = open()
    for (const first of [1, 2, 3]) spill.keep(pathOf(tokensOf(first)))
    await spill.settled()
    writeFileSync(join(folder, "notes.txt"), "mine")
    writeFileSync(join(folder, `${"0".repeat(64)}.kv`), "no such thing")
    writeFileSync(join(folder, `${"1".repeat(64)}.kv.999999999`), "half a file of a process that has gone")
    const [damaged, cut] = files().filter((name) => name.endsWith(".kv") && !name.startsWith("00"))
    const bytes = readFileSync(join(folder, damaged!))
    bytes[bytes.length - 3]! ^= 1
    writeFileSync(join(folder, damaged!), bytes)
    truncateSync(join(folder, cut!), 60)
    const next = open()
    // Only a whole reading finds a wrong bit.
    expect(next.counters()).toMatchObject({ spilledConversations: 2, spillFailures: 2 })
    expect([1, 2, 3].filter((first) => recall(next, tokensOf(first)) !== undefined)).toHaveLength(1)
    expect(next.counters()).toMatchObject({ spilledConversations: 1, spillFailures: 3 })
    expect(files()).toHaveLength(2)
    expect(open({ weightsHash: "other" }).counters().spilledConversations).toBe(0)
    expect(files()).toEqual(["notes.txt"])
  })
})

describe("an engine with a spillFolder", () => {
  const kinds = [{ dtype: "fp32" }, { dtype: "fp16" }, { dtype: "int8" }] as const
  it.each(kinds)(
    "goes on with a conversation that went to the disk, also after a restart, $dtype",
    async ({ dtype }) => {
      const options = { folder: fixture("tiny-decoder"), dtype, prefillChunkTokens: 16, spillFolder: folder } as const
      const prompt = [user("where in the inner ring is the thing that the ant then ate, and why?")]
      const sampling = { maxTokens: 12, temperature: 0.9, seed: 3 }
      const forgetful = await openLoaded({ ...options, spillFolder: join(folder, "none"), cachedConversationsMax: 0 })
      const text = (await forgetful.ask({ prompt, sampling }).heard)!.text
      const next = { prompt: [...prompt, assistant(text), user("so?")], sampling }
      const expected = (await forgetful.ask(next).heard)!.tokenIds
      for (const start of ["first", "again"]) {
        const engine = await openLoaded({ ...options, cachedConversationsMax: 1 })
        if (start === "first") await engine.ask({ prompt, sampling }).heard
        // Another takes the only place.
        await engine.ask({ prompt: [user("something else altogether, of which nothing is the same")], sampling }).heard
        await expect
          .poll(() => readdirSync(folder).some((name) => name.endsWith(".kv")), { timeout: 30_000 })
          .toBe(true)
        const heard = await engine.ask(next).heard
        expect(heard!.tokenIds).toEqual(expected)
        if (heard!.end._tag !== "Finished") throw new Error("not finished")
        expect(heard!.end.usage.cachedTokens).toBeGreaterThanOrEqual(48)
        expect(engine.counters()).toMatchObject({ spillFailures: 0 })
      }
    },
  )

  it("says which folder cannot be used", async () => {
    const file = join(folder, "file")
    writeFileSync(file, "")
    const failure = await openDecoder({ folder: fixture("tiny-decoder"), spillFolder: file }).then(
      () => undefined,
      (failure: unknown) => failure,
    )
    expect(String(failure)).toContain(`spillFolder ${file} cannot be used`)
  })
})
