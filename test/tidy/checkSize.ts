/** The boundary that keeps files and functions small enough to be read at one sitting. */
import { type SourceFile, type SyntaxNode, type Violation, visitNodes } from "./SourceFile.ts"

/** What grows past it has taken on a second subject. */
export const FILE_LINES_MAX = 400
/** About what a screen shows. */
export const FUNCTION_LINES_MAX = 70

const FUNCTIONS = new Set(["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"])

export const checkSize = (file: SourceFile): ReadonlyArray<Violation> => {
  const violations: Array<Violation> = []
  if (file.lineCount > FILE_LINES_MAX) {
    violations.push({ path: file.path, line: 1, message: `${file.lineCount} lines; at most ${FILE_LINES_MAX}` })
  }
  visitNodes(file.program, (node: SyntaxNode) => {
    if (!FUNCTIONS.has(node.type)) return
    const line = file.lineAt(node.start)
    const lines = file.lineAt(node.end) - line + 1
    if (lines > FUNCTION_LINES_MAX) {
      violations.push({ path: file.path, line, message: `a function of ${lines} lines; at most ${FUNCTION_LINES_MAX}` })
    }
  })
  return violations
}
