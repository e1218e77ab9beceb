/** Files that no graph can be opened of, as the model's process finds out; here without one, because each takes a start. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterAll, describe, expect, it } from "vitest"
import { settingsOf } from "../../src/engine/EngineOptions.ts"
import { TensorEngine } from "../../src/index.ts"
import type { WorkerContext } from "../../src/inference/decoding/loadDecoder.ts"
import { loadTensors } from "../../src/inference/tensors/loadTensors.ts"
import { VAD } from "../support/shippedModels.ts"

const run = Effect.runPromise
const world: WorkerContext = { tell: () => {}, now: () => 0, clockMs: () => 0, pause: async () => {} }
const scratch = mkdtempSync(join(tmpdir(), "pontoon-tensors-"))
afterAll(() => rmSync(scratch, { recursive: true }))

const written = (name: string, bytes: string): string => {
  writeFileSync(join(scratch, name), bytes)
  return join(scratch, name)
}
const refusal = (file: string, batchMax = 1) => {
  const tensors = { batchMax, bytesMax: 1024, nanAllowed: false }
  return run(Effect.flip(loadTensors(settingsOf("tensors", { folder: file, name: "any" }, { tensors }), world)))
}

describe("a file that cannot be opened", () => {
  it.each([
    [join(scratch, "no.onnx"), "missing", "there is no file"],
    [scratch, "missing", "there is no file"],
    [written("empty.onnx", ""), "damaged", "is empty; copy it again."],
    [written("pointer.onnx", "version https://git-lfs.github.com/spec/v1\n"), "incomplete", 'run "git lfs pull"'],
    [written("text.onnx", "not a model, but long enough to be looked at"), "damaged", "is truncated or damaged"],
  ] as const)("%#. is refused in one sentence", async (file, reason, sentence) => {
    const failure = await refusal(file)
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason })
    expect(failure.message).toMatch(/^Model "any": /)
    expect(failure.message).toContain(sentence)
  })
  it("is not even looked at where an option is not valid", async () => {
    const failure = await run(Effect.flip(Effect.scoped(TensorEngine.open({ file: "any.onnx", batchMax: 0 }))))
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "request" })
    expect(failure.message).toContain("an option is not valid")
  })
  it("is refused for batches, where its first axis is not the batch", async () => {
    const failure = await refusal(VAD.v5, 8)
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "unsupported" })
    expect(failure.message).toContain('the first axis of its input "state" has the fixed size 2')
  })
})
