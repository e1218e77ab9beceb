/** The boundary to what a folder says of where it came from: `.pontoon.json`, written when all of it is there. */
import { readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Option, Schema } from "effect"
import { Dtype } from "../inference/folder/weightFiles.ts"

export const MANIFEST = ".pontoon.json"

const Manifest = Schema.Struct({
  hub: Schema.String,
  repo: Schema.String,
  /** What was asked for: a branch, a tag or a commit. */
  revision: Schema.String,
  commit: Schema.String,
  dtypes: Schema.Array(Dtype),
  files: Schema.Array(
    Schema.Struct({
      path: Schema.String,
      bytes: Schema.Int,
      checksum: Schema.Struct({ kind: Schema.Literals(["sha256", "git-sha1"]), hex: Schema.String }),
    }),
  ),
})
export type Manifest = typeof Manifest.Type

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Manifest))

/** Undefined where there is none, or none that can be read: then the folder is not ours. */
export const readManifest = (folder: string): Manifest | undefined => {
  try {
    return Option.getOrUndefined(decode(readFileSync(join(folder, MANIFEST), "utf8")))
  } catch {
    return undefined
  }
}

export const writeManifest = (folder: string, manifest: Manifest): void =>
  writeFileSync(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`)

/** Whether a folder still has every file of its manifest, by size. */
export const isWhole = (folder: string, { files }: Manifest): boolean =>
  files.every(({ bytes, path }) => statSync(join(folder, path), { throwIfNoEntry: false })?.size === bytes)
