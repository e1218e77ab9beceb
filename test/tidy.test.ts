/** The style of the house, kept by a test: each rule is first shown to fail on a small bad input, then applied to all. */
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { checkDirection } from "./tidy/checkDirection.ts"
import { checkNaming, isBarrel } from "./tidy/checkNaming.ts"
import { checkSize, FILE_LINES_MAX, FUNCTION_LINES_MAX } from "./tidy/checkSize.ts"
import { checkTests } from "./tidy/checkTests.ts"
import { checkTyping } from "./tidy/checkTyping.ts"
import { buildGraph, findCycles, findDead, type WorkspacePackage } from "./tidy/ImportGraph.ts"
import { parseSource, type Violation } from "./tidy/SourceFile.ts"
import { readWorkspace } from "./tidy/Workspace.ts"

const pack = (
  folder: string,
  exports: Record<string, string> = { ".": `${folder}/src/index.ts` },
): WorkspacePackage => ({
  folder,
  name: `@pontoon/${folder.split("/")[1]}`,
  exports: new Map(Object.entries(exports)),
})
const packages = [pack("packages/runtime"), pack("packages/store"), pack("packages/agents"), pack("apps/demo", {})]
const messages = (violations: ReadonlyArray<Violation>) => violations.map((one) => `${one.line}: ${one.message}`)
const lines = (count: number) => "x\n".repeat(count)

describe("the checks find", () => {
  it("1. a file and a function that are too long, and let one pass at the limit", () => {
    expect(checkSize(parseSource("a.ts", lines(FILE_LINES_MAX)))).toEqual([])
    expect(messages(checkSize(parseSource("a.ts", lines(FILE_LINES_MAX + 1))))).toEqual(["1: 401 lines; at most 400"])
    const body = (count: number) => `const a = 1\nconst f = () => {\n${lines(count - 2)}}\n`
    expect(checkSize(parseSource("a.ts", body(FUNCTION_LINES_MAX)))).toEqual([])
    expect(messages(checkSize(parseSource("a.ts", body(FUNCTION_LINES_MAX + 1))))).toEqual([
      "2: a function of 71 lines; at most 70",
    ])
    expect(checkSize(parseSource("a.ts", `class A {\n  run() {\n${lines(70)}  }\n}`))).toHaveLength(1)
  })

  it("2. holes in the types", () => {
    // Spliced, so that a search of the repository for these words finds only true ones.
    const cast = ["as", "unknown", "as"].join(" ")
    const bad = parseSource(
      "a.ts",
      `let a: ${"any"}\nconst b = 1 ${cast} string\n// @ts-${"ignore"}\nconst c = 1 as const`,
    )
    expect(messages(checkTyping(bad))).toEqual([
      "1: `any`: say what it is, or `unknown`",
      "2: a cast through `unknown`: decode it with a Schema",
      "3: @ts-ignore: mend the type",
    ])
    const good = `// the rule: no @ts-${"ignore"}, no any\nconst a = "any" as unknown`
    expect(checkTyping(parseSource("a.ts", good))).toEqual([])
  })

  it("3. names without a subject, missing headers, barrels that are no package root", () => {
    const check = (path: string, text: string) =>
      messages(checkNaming(parseSource(path, text), new Set(["src/index.ts"])))
    for (const name of ["utils", "types", "helpers", "Util"]) {
      expect(check(`src/${name}.ts`, "/** A header. */\nconst a = 1")).toEqual([
        expect.stringMatching(/without a subject/),
      ])
    }
    expect(check("src/a.ts", "const a = 1")).toEqual([expect.stringMatching(/no header/)])
    expect(check("src/a.ts", "// one line\nconst a = 1")).toEqual([expect.stringMatching(/no header/)])
    expect(check("src/a.ts", "const a = 1\n/** Too late. */")).toEqual([expect.stringMatching(/no header/)])
    expect(check("src/a.ts", "#!/usr/bin/env node\n/** A header. */\nconst a = 1")).toEqual([])
    expect(check("src/life/index.ts", 'export * from "./a.ts"')).toEqual([expect.stringMatching(/barrel/)])
    expect(check("src/index.ts", 'export * from "./a.ts"')).toEqual([])
    expect(isBarrel(parseSource("a.ts", "export const a = 1"))).toBe(false)
  })

  it("4. tests that do not run, or keep others from running", () => {
    const skip = "skip"
    const bad = `it.${skip}("a")\nit.effect.${skip}("b")\ndescribe.${"only"}("c")\n${"xit"}("d")\nit.${"only"}.each([1])("e")`
    expect(messages(checkTests(parseSource("a.test.ts", bad)))).toEqual([
      expect.stringMatching(/^1: it\.skip/),
      expect.stringMatching(/^2: it\.effect\.skip/),
      expect.stringMatching(/^3: describe\.only/),
      expect.stringMatching(/^4: xit/),
      expect.stringMatching(/^5: it\.only/),
    ])
    const stated =
      'it("a", (context) => context.skip("no data set here"))\nit.skipIf(process.platform === "win32")("b")'
    expect(checkTests(parseSource("a.test.ts", stated))).toEqual([])
  })

  it("5. imports against the direction", () => {
    const check = (path: string, specifier: string) =>
      messages(checkDirection(parseSource(path, `import "${specifier}"`), packages))
    expect(check("packages/agents/src/a.ts", "@pontoon/store")).toEqual([
      "1: packages/agents may not import packages/store",
    ])
    expect(check("packages/runtime/src/a.ts", "@pontoon/agents")).toHaveLength(1)
    expect(check("packages/store/src/a.ts", "@pontoon/agents")).toHaveLength(1)
    for (const foreign of ["better-sqlite3", "effect/sql", "onnxruntime-node", "node:sqlite"]) {
      expect(check("packages/runtime/src/a.ts", foreign)).toEqual([
        `1: runtime knows no ${foreign}: it belongs behind a port`,
      ])
    }
    expect(check("packages/agents/src/a.ts", "../../runtime/src/a.ts")).toEqual([expect.stringMatching(/reaches into/)])
    expect(check("packages/agents/src/a.ts", "../../../scripts/a.ts")).toEqual([
      expect.stringMatching(/repository's root/),
    ])
    expect(check("packages/agents/src/a.ts", "@pontoon/runtime/src/a.ts")).toEqual([
      expect.stringMatching(/is no root/),
    ])
    expect(check("packages/agents/src/a.ts", "@pontoon/demo")).toHaveLength(2)
    expect(check("apps/demo/src/a.ts", "@pontoon/store")).toEqual([])
    expect(check("packages/store/src/a.ts", "better-sqlite3")).toEqual([])
  })

  it("6. cycles, through type imports and dynamic ones too", () => {
    const cycles = (files: Record<string, string>) =>
      findCycles(
        buildGraph(
          Object.entries(files).map(([path, text]) => parseSource(path, text)),
          packages,
        ),
      ).map((one) => one.message)
    expect(
      cycles({
        "a.ts": 'import "./b.ts"',
        "b.ts": 'import type { A } from "./c.ts"',
        "c.ts": 'await import("./a.ts")',
      }),
    ).toEqual(["an import cycle: a.ts -> b.ts -> c.ts -> a.ts"])
    expect(cycles({ "a.ts": 'export * from "./a.ts"' })).toEqual(["an import cycle: a.ts -> a.ts"])
    expect(cycles({ "a.ts": 'import "./b.ts"; import "./c.ts"', "b.ts": 'import "./c.ts"', "c.ts": "" })).toEqual([])
  })

  it("7. dead files, and leaves alone what a package, a worker or a re-export reaches", () => {
    const graph = buildGraph(
      [
        parseSource("packages/store/src/index.ts", 'export * from "./a.ts"; import "@pontoon/runtime"'),
        parseSource(
          "packages/store/src/a.ts",
          "new URL(`./worker.$" + "{extension}`, import.meta.url); new URL(`./one$" + "{extension}`, import.meta.url)",
        ),
        parseSource("packages/store/src/worker.ts", ""),
        parseSource("packages/store/src/one.ts", ""),
        parseSource("packages/runtime/src/index.ts", ""),
        parseSource("packages/runtime/src/dead.ts", 'import "./gone.ts"; import "@pontoon/store/none"'),
      ],
      packages,
    )
    const dead = findDead(graph, ["packages/store/src/index.ts"], graph.files.keys())
    expect(dead.map((one) => one.path)).toEqual(["packages/runtime/src/dead.ts"])
    expect(messages(graph.unresolved)).toEqual(["1: ./gone.ts is not there", "1: @pontoon/store/none is not exported"])
  })
})

describe("the repository", () => {
  const workspace = readWorkspace(fileURLToPath(new URL("..", import.meta.url)))
  const graph = buildGraph(workspace.files, workspace.packages)
  const isTest = (path: string) => /(^|\/)test\//.test(path) && !path.startsWith("test/tidy/")
  const isSource = (path: string) => !isTest(path) && !path.includes("/bench/")
  const sources = workspace.files.filter((file) => isSource(file.path))
  const tests = workspace.files.filter((file) => isTest(file.path))
  // One line a violation, so that the failure reads as a list of what to mend.
  const listed = (violations: ReadonlyArray<Violation>) =>
    violations.map((one) => `${one.path}:${one.line}: ${one.message}`)

  it("8. is found at all", () => {
    expect(workspace.packages.map((one) => one.folder)).toEqual([
      "apps/demo",
      "packages/agents",
      "packages/runtime",
      "packages/store",
    ])
    expect(sources.length).toBeGreaterThan(20)
    expect(tests.map((file) => file.path)).toContain("test/tidy.test.ts")
  })
  it("9. holds no file over 400 lines and no function over 70", () => {
    expect(listed(sources.flatMap(checkSize))).toEqual([])
  })
  it("10. holds no hole in its types", () => {
    expect(listed(workspace.files.flatMap(checkTyping))).toEqual([])
  })
  it("11. names its files for their subjects, and says what each is for", () => {
    const named = sources.filter((file) => !file.path.endsWith(".config.ts"))
    expect(listed(named.flatMap((file) => checkNaming(file, workspace.packageRoots)))).toEqual([])
  })
  it("12. skips no test and singles none out", () => {
    expect(listed(tests.flatMap(checkTests))).toEqual([])
  })
  it("13. imports in one direction, through package roots", () => {
    expect(listed(workspace.files.flatMap((file) => checkDirection(file, workspace.packages)))).toEqual([])
  })
  it("14. has no import cycle, and mentions only what is there", () => {
    expect(listed(graph.unresolved)).toEqual([])
    expect(listed(findCycles(graph))).toEqual([])
  })
  it("15. has no dead file", () => {
    const candidates = sources.map((file) => file.path).filter((path) => !path.startsWith("test/"))
    expect(listed(findDead(graph, workspace.entries, candidates))).toEqual([])
  })
  it("16. starts only files that are there", () => {
    expect(workspace.entries.filter((path) => !graph.files.has(path))).toEqual([])
  })
})
