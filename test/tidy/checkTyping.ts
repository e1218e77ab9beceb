/** The boundary against holes in the types: `any`, double casts, suppressed errors. */
import { isSyntaxNode, type SourceFile, type Violation, visitNodes } from "./SourceFile.ts"

const SUPPRESSION = /^[\s*]*@ts-(ignore|expect-error|nocheck)\b/m

export const checkTyping = (file: SourceFile): ReadonlyArray<Violation> => {
  const violations: Array<Violation> = []
  visitNodes(file.program, (node) => {
    if (node.type === "TSAnyKeyword") {
      violations.push({
        path: file.path,
        line: file.lineAt(node.start),
        message: "`any`: say what it is, or `unknown`",
      })
    }
    const inner = node.type === "TSAsExpression" ? node.expression : undefined
    if (!isSyntaxNode(inner) || inner.type !== "TSAsExpression") return
    if (isSyntaxNode(inner.typeAnnotation) && inner.typeAnnotation.type === "TSUnknownKeyword") {
      violations.push({
        path: file.path,
        line: file.lineAt(node.start),
        message: "a cast through `unknown`: decode it with a Schema",
      })
    }
  })
  for (const comment of file.comments) {
    const found = SUPPRESSION.exec(comment.value)
    if (found !== null) {
      violations.push({ path: file.path, line: file.lineAt(comment.start), message: `@ts-${found[1]}: mend the type` })
    }
  }
  return violations
}
