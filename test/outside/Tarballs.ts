/**
 * The boundary between the workspace and somebody else's project: builds and packs the three packages, and installs the
 * tarballs into a folder outside.
 *
 * Our three are real: built, packed, and unpacked where `npm install` would put them. What they depend on is linked from
 * what the workspace has installed, because `npm test` must do without a network; exactly the names that the tarballs'
 * own package.json declare, so that a dependency which is used and not declared is missing here as it would be there.
 */
import { execFile } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Schema } from "effect"

const run = promisify(execFile)
const root = fileURLToPath(new URL("../..", import.meta.url))
const PACKAGES = ["runtime", "store", "agents"] as const

const Names = Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
const Manifest = Schema.Struct({ name: Schema.String, dependencies: Names, peerDependencies: Names, bin: Names })
export type Manifest = typeof Manifest.Type

export const readManifest = (folder: string): Manifest =>
  Schema.decodeUnknownSync(Manifest)(JSON.parse(readFileSync(join(folder, "package.json"), "utf8")))

/** The pnpm that runs the tests, or the one that the scripts name. */
const pnpm = (args: ReadonlyArray<string>) => {
  const own = process.env.npm_execpath ?? ""
  if (!/pnpm[^/\\]*$/.test(own)) return run("npx", ["-y", "pnpm@12.21.0", ...args], { cwd: root })
  return /\.[cm]?js$/.test(own)
    ? run(process.execPath, [own, ...args], { cwd: root })
    : run(own, [...args], { cwd: root })
}

/** Builds all three, and packs them into `folder`. */
const packAll = async (folder: string): Promise<ReadonlyArray<string>> => {
  await pnpm(["-r", "--filter", "./packages/*", "build"])
  mkdirSync(folder, { recursive: true })
  for (const name of PACKAGES) await pnpm(["--dir", `packages/${name}`, "pack", "--pack-destination", folder])
  return readdirSync(folder).map((file) => join(folder, file))
}

const link = (modules: string, name: string, from: string): void => {
  const target = join(modules, name)
  if (existsSync(target)) return
  const source = join(from, "node_modules", name)
  if (!existsSync(source)) throw new Error(`${name} is declared by a tarball, and ${from} has not installed it`)
  mkdirSync(dirname(target), { recursive: true })
  symlinkSync(realpathSync(source), target)
}

/** Installs the tarballs, what they declare, and `more` of the workspace's root, into `project`/node_modules. */
export const installTarballs = async (project: string, more: ReadonlyArray<string>): Promise<void> => {
  const modules = join(project, "node_modules")
  const tarballs = await packAll(join(project, "tarballs"))
  for (const name of PACKAGES) {
    const tarball = tarballs.find((file) => file.includes(`pontoon-${name}-`))
    if (tarball === undefined) throw new Error(`pnpm pack made no tarball of ${name}: ${tarballs.join(", ")}`)
    const target = join(modules, "@pontoon", name)
    mkdirSync(target, { recursive: true })
    await run("tar", ["-xzf", tarball, "-C", target, "--strip-components=1"])
  }
  for (const name of PACKAGES) {
    const { dependencies = {}, peerDependencies = {} } = readManifest(join(modules, "@pontoon", name))
    const names = [...Object.keys(dependencies), ...Object.keys(peerDependencies)]
    for (const other of names) link(modules, other, join(root, "packages", name))
  }
  for (const name of more) link(modules, name, root)
}
