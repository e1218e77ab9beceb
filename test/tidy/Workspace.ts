/** The boundary between the repository on disk and the tidy checks: which files there are, and where each begins. */
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"
import type { WorkspacePackage } from "./ImportGraph.ts"
import { parseSource, type SourceFile } from "./SourceFile.ts"

const Manifest = Schema.Struct({
  name: Schema.String,
  exports: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown)),
  bin: Schema.optionalKey(Schema.Union([Schema.String, Schema.Record(Schema.String, Schema.String)])),
  scripts: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
})

export interface Workspace {
  /** Every TypeScript file of ours: sources, commands, scripts, benches and tests. */
  readonly files: ReadonlyArray<SourceFile>
  readonly packages: ReadonlyArray<WorkspacePackage>
  readonly packageRoots: ReadonlySet<string>
  /** What is started from outside: package roots, commands, npm scripts, configurations, benches. */
  readonly entries: ReadonlyArray<string>
}

const readManifest = (root: string, path: string) =>
  Schema.decodeUnknownSync(Manifest)(JSON.parse(readFileSync(join(root, path), "utf8")))

/** An export is a path, or conditions of which one is the source. */
const sourceOf = (entry: unknown): string | undefined => {
  if (typeof entry === "string") return entry.endsWith(".ts") ? entry : undefined
  if (typeof entry !== "object" || entry === null) return undefined
  return Object.values(entry)
    .map(sourceOf)
    .find((path) => path !== undefined)
}

const readPackage = (root: string, folder: string): WorkspacePackage => {
  const manifest = readManifest(root, `${folder}/package.json`)
  const exports = new Map<string, string>()
  for (const [subpath, entry] of Object.entries(manifest.exports ?? {})) {
    const source = sourceOf(entry)
    if (source !== undefined) exports.set(subpath, `${folder}/${source.replace(/^\.\//, "")}`)
  }
  return { folder, name: manifest.name, exports }
}

const SCRIPT_FILE = /[\w./-]+\.ts\b/g

export const readWorkspace = (root: string): Workspace => {
  const glob = (pattern: string) =>
    globSync(pattern, { cwd: root })
      .map((path) => path.replaceAll("\\", "/"))
      .sort()
  const ours = [
    ...glob("{packages,apps}/*/{src,bin,bench,test}/**/*.ts"),
    ...glob("{scripts,test}/**/*.ts"),
    ...glob("vitest.config.ts"),
    ...glob("{packages,apps}/*/*.config.ts"),
  ].filter((path) => !path.includes("/node_modules/"))
  const folders = glob("{packages,apps}/*/package.json").map((path) => path.slice(0, -"/package.json".length))
  const packages = folders.map((folder) => readPackage(root, folder))
  const packageRoots = new Set(packages.flatMap((one) => [...one.exports.values()]))
  const scripts = Object.values(readManifest(root, "package.json").scripts ?? {})
  return {
    files: ours.map((path) => parseSource(path, readFileSync(join(root, path), "utf8"))),
    packages,
    packageRoots,
    entries: [
      ...packageRoots,
      ...scripts.flatMap((script) => script.match(SCRIPT_FILE) ?? []),
      ...ours.filter((path) => /\/bin\/|\/bench\/[^/]+\.bench\.ts$|\.config\.ts$/.test(path)),
    ],
  }
}
