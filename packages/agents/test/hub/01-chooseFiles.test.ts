/** Which files of a repository are fetched. */
import { Result } from "effect"
import { describe, expect, it } from "vitest"
import { chooseFiles, type RepoFile } from "../../src/hub/chooseFiles.ts"
import type { Dtype } from "../../src/inference/folder/weightFiles.ts"

const file = (path: string): RepoFile => ({ path, bytes: 1, checksum: { kind: "sha256", hex: "0" } })
const AROUND = ["config.json", "tokenizer.json", "tokenizer_config.json"]
const choose = (paths: ReadonlyArray<string>, dtype: Dtype = "auto") => chooseFiles(paths.map(file), dtype, "a/b")
const chosen = (paths: ReadonlyArray<string>, dtype?: Dtype) =>
  Result.getOrThrow(choose(paths, dtype)).files.map(({ path }) => path)
const refused = (paths: ReadonlyArray<string>, dtype?: Dtype) =>
  Result.match(choose(paths, dtype), { onFailure: ({ message }) => message, onSuccess: () => "" })

describe("files", () => {
  it("1. are those of one variant, its data beside it, and what says how to use it", () => {
    const paths = [
      ...AROUND,
      ...["generation_config.json", "chat_template.jinja", "README.md", "model.safetensors", "onnx/model.onnx"],
      ...["onnx/model.onnx_data", "onnx/model.onnx_data_1", "onnx/model.onnx_database", "onnx/model_q4.onnx"],
    ]
    const small = [...AROUND, "generation_config.json", "chat_template.jinja"]
    expect(chosen(paths)).toEqual([...small, "onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx_data_1"])
    expect(chosen(paths, "q4")).toEqual([...small, "onnx/model_q4.onnx"])
    expect(Result.getOrThrow(choose(paths)).others).toEqual([{ dtype: "q4", file: "onnx/model_q4.onnx" }])
  })
  it("2. of onnxruntime-genai's layout lie at the root, those of an encoder-decoder belong together", () => {
    const genai = ["genai_config.json", "model.onnx", "model.onnx.data", "tokenizer.json", "tokenizer_config.json"]
    expect(chosen(genai)).toEqual(genai)
    const two = [...AROUND, "onnx/decoder_model_merged_quantized.onnx", "onnx/encoder_model_quantized.onnx"]
    expect(chosen([...two, "onnx/encoder_model.onnx", "onnx/decoder_with_past_model_quantized.onnx"], "int8")).toEqual(
      two,
    )
    const three = [...AROUND, "onnx/encoder_model.onnx", "onnx/decoder_model.onnx", "onnx/decoder_with_past_model.onnx"]
    expect(chosen([...three, "onnx/decoder_model_q4.onnx"], "fp32")).toEqual(three)
  })
  it("3. that would lie elsewhere are none", () => {
    const strange = ["../config.json", "/etc/passwd", "a/../../b.json", ".pull/moving", "onnx\\model.onnx"]
    expect(chosen([...strange, ...AROUND, "onnx/model.onnx"])).toEqual([...AROUND, "onnx/model.onnx"])
    expect(refused([...AROUND, "../onnx/model.onnx"])).toMatch(/has no ONNX weights/)
  })
  it("4. that are missing are named", () => {
    expect(refused([...AROUND, "model.safetensors"])).toBe(
      "a/b has no ONNX weights, only safetensors; look for an ONNX export of it (onnx-community has many).",
    )
    expect(refused([...AROUND, "onnx/model_q4.onnx"], "fp32")).toBe("a/b has no weights of dtype fp32; it has q4.")
    expect(refused(["config.json", "tokenizer.json", "onnx/model.onnx"])).toBe(
      "a/b has no tokenizer_config.json, so its model cannot be run.",
    )
    expect(refused([...AROUND, "onnx/vision.onnx"])).toMatch(/not in the layout of transformers\.js/)
  })
})
