/** The boundary that keeps every test running: none skipped, none singled out. */
import { isSyntaxNode, type SourceFile, type SyntaxNode, type Violation, visitNodes } from "./SourceFile.ts"

const RUNNERS = new Set(["it", "test", "describe", "suite", "bench"])
/** `skipIf` and `runIf` stay allowed: they state their condition, as `context.skip("reason")` states its reason. */
const FORBIDDEN = new Set(["skip", "only", "todo", "fails"])
const OLD_NAMES = new Set(["xit", "xtest", "xdescribe", "fit", "fdescribe"])

/** `it.effect.skip` to `["it", "effect", "skip"]`. */
const chainOf = (node: unknown): ReadonlyArray<string> => {
  if (!isSyntaxNode(node)) return []
  if (node.type === "Identifier") return typeof node.name === "string" ? [node.name] : []
  if (node.type === "CallExpression") return chainOf(node.callee)
  if (node.type !== "MemberExpression" || !isSyntaxNode(node.property)) return []
  return typeof node.property.name === "string" ? [...chainOf(node.object), node.property.name] : []
}

export const checkTests = (file: SourceFile): ReadonlyArray<Violation> => {
  const violations: Array<Violation> = []
  const report = (node: SyntaxNode, message: string) =>
    violations.push({ path: file.path, line: file.lineAt(node.start), message })
  visitNodes(file.program, (node) => {
    if (node.type === "MemberExpression" && isSyntaxNode(node.property)) {
      const chain = chainOf(node)
      const last = chain.at(-1)
      if (chain.length > 1 && RUNNERS.has(chain[0]!) && last !== undefined && FORBIDDEN.has(last)) {
        report(node, `${chain.join(".")}: a test that does not run, or keeps others from running`)
      }
    }
    if (node.type === "CallExpression" && isSyntaxNode(node.callee)) {
      const [name, ...rest] = chainOf(node.callee)
      if (name !== undefined && rest.length === 0 && OLD_NAMES.has(name))
        report(node, `${name}: a test that does not run`)
    }
  })
  return violations
}
