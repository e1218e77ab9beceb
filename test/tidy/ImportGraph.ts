/** The boundary between files and the whole: which file reaches which, where that runs in a circle, and what is dead. */
import type { SourceFile, Violation } from "./SourceFile.ts"

/** A package of the workspace: `packages/store`, called `@pontoon/store`, with what it exports and which files start. */
export interface WorkspacePackage {
  readonly folder: string
  readonly name: string
  /** Subpath to file: `.` or `./testing` to `packages/runtime/src/testing/index.ts`. */
  readonly exports: ReadonlyMap<string, string>
}

export interface ImportGraph {
  readonly files: ReadonlyMap<string, SourceFile>
  /** File to the files it mentions, with the line where it does. */
  readonly edges: ReadonlyMap<string, ReadonlyMap<string, number>>
  /** Mentions of files or exports that are not there. */
  readonly unresolved: ReadonlyArray<Violation>
}

/** `a/b/c.ts` and `../d.ts` to `a/d.ts`. */
export const resolvePath = (from: string, specifier: string): string => {
  const parts = from.split("/").slice(0, -1)
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop()
    else if (part !== ".") parts.push(part)
  }
  return parts.join("/")
}

/** The package that a specifier names, and the subpath within it. */
export const findPackage = (
  specifier: string,
  packages: ReadonlyArray<WorkspacePackage>,
): { readonly target: WorkspacePackage; readonly subpath: string } | undefined => {
  const target = packages.find((one) => specifier === one.name || specifier.startsWith(`${one.name}/`))
  return target && { target, subpath: specifier === target.name ? "." : `.${specifier.slice(target.name.length)}` }
}

export const buildGraph = (
  sources: ReadonlyArray<SourceFile>,
  packages: ReadonlyArray<WorkspacePackage>,
): ImportGraph => {
  const files = new Map(sources.map((file) => [file.path, file]))
  const edges = new Map<string, Map<string, number>>()
  const unresolved: Array<Violation> = []
  for (const file of sources) {
    const targets = new Map<string, number>()
    edges.set(file.path, targets)
    for (const { kind, line, specifier } of file.mentions) {
      if (specifier.startsWith(".")) {
        const path = resolvePath(file.path, specifier)
        // A URL may be a template whose extension is worked out at run time (`./worker.${extension}`).
        const complete = kind === "url" ? `${path.replace(/\.$/, "")}.ts` : path
        const target = [path, complete].find((candidate) => files.has(candidate))
        if (target !== undefined) targets.set(target, line)
        else if (kind === "import" && path.endsWith(".ts"))
          unresolved.push({ path: file.path, line, message: `${specifier} is not there` })
      } else {
        const found = findPackage(specifier, packages)
        const target = found?.target.exports.get(found.subpath)
        if (target !== undefined) targets.set(target, line)
        else if (found) unresolved.push({ path: file.path, line, message: `${specifier} is not exported` })
      }
    }
  }
  return { files, edges, unresolved }
}

/** Every cycle is reported once, at the file where it was entered. */
export const findCycles = (graph: ImportGraph): ReadonlyArray<Violation> => {
  const violations: Array<Violation> = []
  const state = new Map<string, "open" | "closed">()
  const trail: Array<string> = []
  const enter = (path: string): void => {
    state.set(path, "open")
    trail.push(path)
    for (const [target, line] of graph.edges.get(path) ?? []) {
      if (state.get(target) === "open") {
        const cycle = [...trail.slice(trail.indexOf(target)), target]
        violations.push({ path, line, message: `an import cycle: ${cycle.join(" -> ")}` })
      } else if (!state.has(target)) enter(target)
    }
    trail.pop()
    state.set(path, "closed")
  }
  for (const path of graph.edges.keys()) if (!state.has(path)) enter(path)
  return violations
}

/** Files of `candidates` that nothing reaches from `roots`. */
export const findDead = (
  graph: ImportGraph,
  roots: Iterable<string>,
  candidates: Iterable<string>,
): ReadonlyArray<Violation> => {
  const reached = new Set<string>()
  const open = [...roots]
  while (open.length > 0) {
    const path = open.pop()!
    if (reached.has(path)) continue
    reached.add(path)
    open.push(...(graph.edges.get(path)?.keys() ?? []))
  }
  return [...candidates]
    .filter((path) => !reached.has(path))
    .map((path) => ({ path, line: 1, message: "dead: no package root, command, script or worker reaches it" }))
}
