/** The boundary between a classification report and what is printed of it: a table as scikit-learn's, or one JSON object. */
import type { ClassificationReport, Scores } from "./classificationReport.ts"

const HEADS = ["precision", "recall", "f1-score", "support"]
const COLUMN_WIDTH = 9
const ROW_LABELS_WIDTH = "weighted avg".length

/**
 * The layout of scikit-learn's `classification_report(digits=3)`, so that both can be compared with `diff`.
 */
export const formatReport = (report: ClassificationReport): string => {
  const width = Math.max(ROW_LABELS_WIDTH, ...report.classes.map((one) => one.label.length))
  const line = (label: string, cells: ReadonlyArray<string>) =>
    `${label.padStart(width)} ${cells.map((cell) => ` ${cell.padStart(COLUMN_WIDTH)}`).join("")}`
  const row = (label: string, { f1, precision, recall, support }: Scores) =>
    line(label, [precision.toFixed(3), recall.toFixed(3), f1.toFixed(3), String(support)])
  return [
    line("", HEADS),
    "",
    ...report.classes.map((one) => row(one.label, one)),
    "",
    line("accuracy", ["", "", report.accuracy.toFixed(3), String(report.n)]),
    row("macro avg", report.macro),
    row("weighted avg", report.weighted),
    "",
  ].join("\n")
}

/** What `--json` prints, on one line; `macroF1` is there for the scripts that watch one figure. */
export const formatReportJson = (report: ClassificationReport): string =>
  JSON.stringify({
    accuracy: report.accuracy,
    macroF1: report.macro.f1,
    n: report.n,
    classes: report.classes,
    macro: report.macro,
    weighted: report.weighted,
  })
