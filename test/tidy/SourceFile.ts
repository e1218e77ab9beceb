/** The boundary between a file's text and what the tidy checks look at: its syntax tree, its comments, its imports. */
import { type Comment, type Program, parseSync } from "oxc-parser"

/** One rule broken in one place. */
export interface Violation {
  readonly path: string
  readonly line: number
  readonly message: string
}

/** A mention of another module: an import, a re-export, `import()`, or `new URL("./x.ts", import.meta.url)`. */
export interface Mention {
  readonly specifier: string
  readonly line: number
  /** Static or dynamic import, or a URL by which a worker or a child process is started. */
  readonly kind: "import" | "url"
}

export interface SourceFile {
  /** Relative to the repository's root, with forward slashes. */
  readonly path: string
  readonly lineCount: number
  readonly program: Program
  readonly comments: ReadonlyArray<Comment>
  readonly mentions: ReadonlyArray<Mention>
  readonly lineAt: (offset: number) => number
}

/** A node of the tree as the checks see it: whatever it is, it says its type and where it stands. */
export interface SyntaxNode {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [property: string]: unknown
}

export const isSyntaxNode = (value: unknown): value is SyntaxNode =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string" && "start" in value

/** Visits every node, parents first. */
export const visitNodes = (node: unknown, visit: (node: SyntaxNode) => void): void => {
  if (Array.isArray(node)) {
    for (const item of node) visitNodes(item, visit)
  } else if (isSyntaxNode(node)) {
    visit(node)
    for (const value of Object.values(node)) if (typeof value === "object" && value !== null) visitNodes(value, visit)
  }
}

/** `new URL(x, import.meta.url)`: x where it is a text, or its beginning where it is a template (`./worker${extension}`). */
const urlMention = (node: SyntaxNode): string | undefined => {
  if (node.type !== "NewExpression") return undefined
  if (!isSyntaxNode(node.callee) || node.callee.name !== "URL" || !Array.isArray(node.arguments)) return undefined
  const [first, second] = node.arguments
  if (!isSyntaxNode(second) || second.type !== "MemberExpression") return undefined
  return isSyntaxNode(first) ? beginningOf(first) : undefined
}

const beginningOf = (node: SyntaxNode): string | undefined => {
  if (node.type === "Literal") return typeof node.value === "string" ? node.value : undefined
  if (node.type !== "TemplateLiteral" || !Array.isArray(node.quasis)) return undefined
  const head: unknown = node.quasis[0]
  if (!isSyntaxNode(head) || typeof head.value !== "object" || head.value === null || !("cooked" in head.value)) return
  return typeof head.value.cooked === "string" ? head.value.cooked : undefined
}

const MENTIONING = new Set([
  "ImportDeclaration",
  "ExportNamedDeclaration",
  "ExportAllDeclaration",
  "ImportExpression",
  "TSImportType",
])

const findMentions = (program: Program, lineAt: (offset: number) => number): ReadonlyArray<Mention> => {
  const mentions: Array<Mention> = []
  visitNodes(program, (node) => {
    const url = urlMention(node)
    if (url !== undefined) mentions.push({ specifier: url, line: lineAt(node.start), kind: "url" })
    if (!MENTIONING.has(node.type)) return
    const specifier = isSyntaxNode(node.source) ? beginningOf(node.source) : undefined
    if (specifier !== undefined) mentions.push({ specifier, line: lineAt(node.start), kind: "import" })
  })
  return mentions
}

/** Parses one file; throws where it is no TypeScript. */
export const parseSource = (path: string, text: string): SourceFile => {
  const { comments, errors, program } = parseSync(path, text)
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]!.message}`)
  const lineStarts = [0]
  for (let offset = 0; offset < text.length; offset++) if (text[offset] === "\n") lineStarts.push(offset + 1)
  const lineAt = (offset: number) => {
    let line = 0
    while (line + 1 < lineStarts.length && lineStarts[line + 1]! <= offset) line++
    return line + 1
  }
  return {
    path,
    lineCount: text.endsWith("\n") ? lineStarts.length - 1 : lineStarts.length,
    program,
    comments,
    mentions: findMentions(program, lineAt),
    lineAt,
  }
}
