/** The boundary between packages: who may import whom, and that it is done through package roots. */
import { findPackage, resolvePath, type WorkspacePackage } from "./ImportGraph.ts"
import type { SourceFile, Violation } from "./SourceFile.ts"

/** What each may import of the others: apps/demo -> packages/agents -> packages/runtime <- packages/store. */
const MAY_IMPORT: Readonly<Record<string, ReadonlyArray<string>>> = {
  "packages/runtime": [],
  "packages/store": ["packages/runtime"],
  "packages/agents": ["packages/runtime"],
  "apps/demo": ["packages/runtime", "packages/store", "packages/agents"],
}

/** What runtime must not know of: databases and inference. */
const FOREIGN_TO_RUNTIME =
  /^(better-sqlite3|node:sqlite|effect\/sql|@effect\/sql|onnxruntime|@huggingface\/|effect\/ai)/

const folderOf = (path: string): string | undefined => /^(packages|apps)\/[^/]+/.exec(path)?.[0]

const checkPackage = (
  file: SourceFile,
  home: string | undefined,
  target: string,
  line: number,
): Violation | undefined => {
  // The root's own tests and scripts look at everything; nobody else looks at an app.
  if (home === undefined || home === target || MAY_IMPORT[home]?.includes(target)) return undefined
  return { path: file.path, line, message: `${home} may not import ${target}` }
}

export const checkDirection = (
  file: SourceFile,
  packages: ReadonlyArray<WorkspacePackage>,
): ReadonlyArray<Violation> => {
  const violations: Array<Violation> = []
  const home = folderOf(file.path)
  for (const { kind, line, specifier } of file.mentions) {
    if (specifier.startsWith(".")) {
      const target = folderOf(resolvePath(file.path, specifier))
      if (kind === "url" || target === home) continue
      const where = target ?? "the repository's root"
      violations.push({
        path: file.path,
        line,
        message: `${specifier} reaches into ${where}: import the package's root`,
      })
      continue
    }
    if (home === "packages/runtime" && FOREIGN_TO_RUNTIME.test(specifier)) {
      violations.push({ path: file.path, line, message: `runtime knows no ${specifier}: it belongs behind a port` })
    }
    const found = findPackage(specifier, packages)
    if (found === undefined) continue
    if (!found.target.exports.has(found.subpath)) {
      violations.push({ path: file.path, line, message: `${specifier} is no root of ${found.target.name}` })
    }
    const violation = checkPackage(file, home, found.target.folder, line)
    if (violation !== undefined) violations.push(violation)
  }
  return violations
}
