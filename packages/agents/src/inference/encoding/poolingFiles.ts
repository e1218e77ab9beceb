/**
 * The boundary to the files in which sentence-transformers says how a text's vector is made of its tokens' ones:
 * modules.json and 1_Pooling/config.json.
 */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Result, Schema } from "effect"
import type { TerminalModelFailure } from "../../ModelTarget.ts"
import { type Fail, modelFailure, oneLine } from "../folder/modelFailure.ts"
import type { ModelFolder } from "../folder/modelFolder.ts"
import { readJson } from "../folder/readJson.ts"
import type { Pooling } from "./encoding.ts"

const Flag = Schema.optionalKey(Schema.Boolean)
const PoolingConfig = Schema.Struct({
  pooling_mode_cls_token: Flag,
  pooling_mode_mean_tokens: Flag,
  pooling_mode_lasttoken: Flag,
  pooling_mode_max_tokens: Flag,
  pooling_mode_mean_sqrt_len_tokens: Flag,
  pooling_mode_weightedmean_tokens: Flag,
})
const POOLING_FILE = join("1_Pooling", "config.json")

const MODES = [
  ["pooling_mode_cls_token", "cls"],
  ["pooling_mode_mean_tokens", "mean"],
  ["pooling_mode_lasttoken", "last"],
] as const

const Modules = Schema.fromJsonString(Schema.Array(Schema.Struct({ type: Schema.String })))

/** A module that changes a vector behind the pooling, and that a graph of hidden states does not hold. */
const findMissingModule = (folder: string, fail: Fail): Result.Result<string | undefined, TerminalModelFailure> => {
  const path = join(folder, "modules.json")
  if (!existsSync(path)) return Result.succeed(undefined)
  return Schema.decodeUnknownResult(Modules)(readFileSync(path, "utf8")).pipe(
    Result.map((modules) => modules.find(({ type }) => /\.(Dense|CNN|LSTM|WeightedLayerPooling)$/.test(type))?.type),
    Result.mapError((error) => fail("damaged", `modules.json is not what it should be: ${oneLine(error)}.`)),
  )
}

/**
 * How a folder wants the vectors of a text's tokens to become one; undefined where it does not say.
 *
 * @returns fails with reason `unsupported` (a way that is not known, or a layer of weights behind it) or `damaged`
 */
export const readPooling = (folder: ModelFolder): Result.Result<Pooling | undefined, TerminalModelFailure> => {
  const fail = modelFailure(folder.name)
  const missing = findMissingModule(folder.folder, fail)
  if (Result.isFailure(missing)) return Result.fail(missing.failure)
  if (missing.success !== undefined) {
    const message = `modules.json wants ${missing.success} behind the pooling; export it with an output sentence_embedding.`
    return Result.fail(fail("unsupported", message))
  }
  if (!existsSync(join(folder.folder, POOLING_FILE))) return Result.succeed(undefined)
  return Result.flatMap(readJson(folder.folder, POOLING_FILE, PoolingConfig, fail), ({ decoded }) => {
    const on = Object.entries(decoded).filter(([, isOn]) => isOn)
    const found = MODES.find(([mode]) => decoded[mode] === true)
    if (found !== undefined && on.length === 1) return Result.succeed(found[1])
    const modes = on.map(([mode]) => mode).join(", ") || "no mode"
    return Result.fail(
      fail("unsupported", `${POOLING_FILE} wants ${modes}; one of cls, mean and last token can be done.`),
    )
  })
}
