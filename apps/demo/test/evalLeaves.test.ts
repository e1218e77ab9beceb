import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Effect, Result } from "effect"
import { describe, expect, it } from "vitest"
import { classificationReport } from "../src/eval/classificationReport.ts"
import { formatReport, formatReportJson } from "../src/eval/formatReport.ts"
import { parseCsv, readCsv } from "../src/eval/readCsv.ts"

const columns = { text: "text", label: "category" }
const parseText = (text: string) => Effect.runSync(Effect.result(parseCsv("d.csv", text, columns)))
const refusal = (text: string) => {
  const result = parseText(text)
  return Result.isFailure(result) ? result.failure.message : "was accepted"
}

describe("a labelled file, misused", () => {
  it("1. that is missing, a folder, or not UTF-8 is named in the error", async () => {
    const read = (file: string) =>
      Effect.runPromise(Effect.flip(readCsv(file, columns)).pipe(Effect.provide(NodeServices.layer)))
    expect((await read("/nowhere.csv")).message).toBe("/nowhere.csv: cannot be read (NotFound); check the path.")
    expect((await read(tmpdir())).message).toMatch(/is not a file\.$/)
    const file = join(mkdtempSync(join(tmpdir(), "pontoon-csv-")), "latin1.csv")
    writeFileSync(file, Buffer.from("text,category\ncaf\xe9,a\n", "latin1"))
    expect((await read(file)).message).toMatch(/is not UTF-8/)
  })
  it("2. that is empty, or has no rows", () => {
    expect(refusal("\n")).toMatch(/^d\.csv: the file is empty/)
    expect(refusal("text,category\n")).toBe("d.csv: there is a header and no row.")
  })
  it("3. without one of the columns, or with one of them twice", () => {
    expect(refusal("text,intent\nhi,a")).toBe(
      'd.csv: line 1: there is no column "category"; the header has "text", "intent".',
    )
    expect(refusal("text,text,category\na,b,c")).toMatch(/^d\.csv: line 1: the column "text" is there 2 times/)
  })
  it("4. with broken quoting: the line is where the reader must look", () => {
    expect(refusal('text,category\n"fine\ntoo",a\n"open,b\nc,d\ne,f\n')).toBe(
      'd.csv: line 4, column "text": a quote is opened and never closed; close it, or double a quote that is text.',
    )
    expect(refusal('text,category\na,b\nsay "hi",b')).toMatch(/^d\.csv: line 3, column "text": a quote inside a field/)
    expect(refusal('text,category\n"hi"there,b')).toMatch(
      /^d\.csv: line 2, column "text": text follows a closing quote/,
    )
  })
  it("5. with a row of another length, or an empty cell", () => {
    expect(refusal("text,category\na,b,c")).toMatch(/^d\.csv: line 2: the row has another number of fields/)
    expect(refusal("text,category\na,b\nc")).toMatch(/^d\.csv: line 3: the row has another number of fields/)
    expect(refusal("text,category\n ,b")).toBe('d.csv: line 2: the column "text" is empty.')
    expect(refusal("text,category\na,")).toBe('d.csv: line 2: the column "category" is empty.')
  })
})

describe("a labelled file", () => {
  it("6. is read with quotes, line breaks, a byte-order mark, other columns in any order", () => {
    const text = '\uFEFFid,category,text\r\n1,a,"x, ""y""\r\nz"\r\n\r\n2, b ,w\r\n'
    const result = parseText(text)
    expect(Result.isSuccess(result) && result.success).toEqual([
      { line: 3, text: 'x, "y"\nz', label: "a" },
      { line: 5, text: "w", label: "b" },
    ])
  })
  it("7. is known by the hash of its bytes", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "pontoon-csv-")), "d.csv")
    writeFileSync(file, "text,category\nhi,a\n")
    const read = await Effect.runPromise(readCsv(file, columns).pipe(Effect.provide(NodeServices.layer)))
    expect(read).toEqual({
      rows: [{ line: 2, text: "hi", label: "a" }],
      hash: "9730ce4c0b356c3eeaf1e880303265cd11535eeb07e7dd77bb76aae9064ad3c1",
    })
  })
})

/*
 * Made once with scikit-learn 1.9.1, the labels below as lists:
 *   classification_report(actual, predicted, digits=3, zero_division=0)                      -> the table
 *   classification_report(actual, predicted, output_dict=True, zero_division=0)              -> the figures
 */
const pairs = (actual: string, predicted: string) => {
  const names: Readonly<Record<string, string>> = { b: "bear", u: "bull", n: "neutral" }
  return [...actual].map((letter, index) => ({
    actual: names[letter] ?? letter,
    predicted: names[predicted[index]!] ?? predicted[index]!,
  }))
}
const uneven = pairs("bbbbbuuuuuuunnnnnnnnnnnn", "bbunbuuunbunnnnnnnnnnnun")
const unevenTable = `              precision    recall  f1-score   support

        bear      0.750     0.600     0.667         5
        bull      0.667     0.571     0.615         7
     neutral      0.786     0.917     0.846        12

    accuracy                          0.750        24
   macro avg      0.734     0.696     0.709        24
weighted avg      0.744     0.750     0.741        24
`
/** `c` is never predicted, `d` is predicted and never there. */
const lopsided = [..."aabccc"].map((actual, index) => ({ actual, predicted: "abbada"[index]! }))

describe("the classification report", () => {
  it("8. of nothing is zeros and no division by zero", () => {
    expect(classificationReport([])).toMatchObject({ accuracy: 0, n: 0, classes: [], macro: { f1: 0, support: 0 } })
  })
  it("9. has scikit-learn's figures", () => {
    const { accuracy, classes, macro, n, weighted } = classificationReport(uneven)
    expect([accuracy, n]).toEqual([0.75, 24])
    expect(classes[1]).toEqual({
      label: "bull",
      precision: expect.closeTo(0.6666666666666666, 12),
      recall: expect.closeTo(0.5714285714285714, 12),
      f1: expect.closeTo(0.6153846153846154, 12),
      support: 7,
    })
    expect(macro).toEqual({
      precision: expect.closeTo(0.7341269841269841, 12),
      recall: expect.closeTo(0.6960317460317459, 12),
      f1: expect.closeTo(0.7094017094017094, 12),
      support: 24,
    })
    expect(weighted).toEqual({
      precision: expect.closeTo(0.7435515873015873, 12),
      recall: expect.closeTo(0.75, 12),
      f1: expect.closeTo(0.7414529914529915, 12),
      support: 24,
    })
  })
  it("10. has scikit-learn's figures where a class is never predicted, or never there", () => {
    const { accuracy, classes, macro, weighted } = classificationReport(lopsided)
    expect(accuracy).toBeCloseTo(0.3333333333333333, 12)
    expect(classes.map((one) => one.f1)).toEqual([
      expect.closeTo(0.4, 12),
      expect.closeTo(0.6666666666666666, 12),
      0,
      0,
    ])
    expect(classes.map((one) => one.support)).toEqual([2, 1, 3, 0])
    expect(macro.precision).toBeCloseTo(0.20833333333333331, 12)
    expect(macro.recall).toBeCloseTo(0.375, 12)
    expect(macro.f1).toBeCloseTo(0.26666666666666666, 12)
    expect(weighted.precision).toBeCloseTo(0.19444444444444442, 12)
    expect(weighted.f1).toBeCloseTo(0.24444444444444446, 12)
  })
  it("11. prints scikit-learn's table", () => {
    expect(formatReport(classificationReport(uneven))).toBe(unevenTable)
  })
  it("12. prints one JSON object with accuracy, macroF1, n and the classes", () => {
    const text = formatReportJson(classificationReport(lopsided))
    expect(text).not.toContain("\n")
    expect(JSON.parse(text)).toMatchObject({
      accuracy: 2 / 6,
      macroF1: expect.closeTo(0.2667, 4),
      n: 6,
      classes: [
        { label: "a", precision: 1 / 3, recall: 0.5, support: 2 },
        { label: "b" },
        { label: "c" },
        { label: "d" },
      ],
    })
  })
})
