/** The boundary of the file tree's story: what a file may be called, that it says what it is for, and who may re-export. */
import type { SourceFile, Violation } from "./SourceFile.ts"

/** A file called so has no subject. */
const NAMELESS = /^(utils?|types?|helpers?|common|misc|shared)$/i

const baseName = (path: string): string => path.slice(path.lastIndexOf("/") + 1).replace(/\.[^.]+$/, "")

/** True where a file does nothing but hand on what other files export. */
export const isBarrel = (file: SourceFile): boolean =>
  file.program.body.length > 0 &&
  file.program.body.every(
    (statement) =>
      statement.type === "ExportAllDeclaration" ||
      (statement.type === "ExportNamedDeclaration" &&
        statement.declaration === null &&
        // `export {}` marks a package root that has nothing to give yet.
        (statement.source !== null || statement.specifiers.length === 0)),
  )

/** @param packageRoots the files that packages export; they alone may be barrels, and need no header */
export const checkNaming = (file: SourceFile, packageRoots: ReadonlySet<string>): ReadonlyArray<Violation> => {
  const violations: Array<Violation> = []
  const report = (message: string) => violations.push({ path: file.path, line: 1, message })
  if (NAMELESS.test(baseName(file.path))) report("a name without a subject: name the file for its main export")
  if (isBarrel(file)) {
    if (!packageRoots.has(file.path)) report("a barrel that is no package root: import from the files themselves")
    return violations
  }
  const header = file.comments[0]
  const firstStatement = file.program.body[0]?.start ?? Number.POSITIVE_INFINITY
  const hasHeader = header !== undefined && header.type === "Block" && header.value.startsWith("*")
  if (!hasHeader || header.start > firstStatement) {
    report("no header comment: say in one sentence what this module is the boundary of")
  }
  return violations
}
