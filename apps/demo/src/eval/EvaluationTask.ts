/** The boundary between the three things that can be evaluated and everything that is the same for them. */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { isBankingIntent } from "../banking/helpTexts.ts"
import { sentimentOf } from "../finance/describeSentiment.ts"
import { makeFrontDeskTest } from "./makeFrontDeskTest.ts"
import type { CsvColumns } from "./readCsv.ts"

export const EVALUATION_TASKS = ["banking-intent", "finance-sentiment", "front-desk"] as const
export type EvaluationTaskName = (typeof EVALUATION_TASKS)[number]

export interface EvaluationTask {
  readonly name: EvaluationTaskName
  readonly columns: CsvColumns
  /** The file's label as the model says it; `undefined` where the model has no such class. */
  readonly labelOf: (label: string) => string | undefined
  /** What the file's labels may be, for what errors say. */
  readonly labels: string
  /** Finds the data set beside the repository, of which it is no part, or makes it from what lies there. */
  readonly findData: () => string | undefined
  /** What to do without `--data`, where there is no default. */
  readonly withoutData: string
}

const sharedFolder = fileURLToPath(new URL("../../../../../shared/data", import.meta.url))

const DESKS = ["coffee", "banking", "finance", "other"]

const sharedFile = (path: string) => () => {
  const file = `${sharedFolder}/${path}`
  return existsSync(file) ? file : undefined
}

const missingData = (what: string) =>
  `Give a labelled file with --data FILE; ${what} is looked for in ../shared/data and is not there.`

export const evaluationTasks: Readonly<Record<EvaluationTaskName, EvaluationTask>> = {
  "banking-intent": {
    name: "banking-intent",
    columns: { text: "text", label: "category" },
    labelOf: (label) => (isBankingIntent(label) ? label : undefined),
    labels: "one of BANKING77's 77 categories",
    findData: sharedFile("intent/banking77_test.csv"),
    withoutData: missingData("intent/banking77_test.csv"),
  },
  "finance-sentiment": {
    name: "finance-sentiment",
    columns: { text: "text", label: "label" },
    labelOf: sentimentOf,
    labels: "0 or bearish, 1 or bullish, 2 or neutral",
    findData: sharedFile("finance/sent_valid.csv"),
    withoutData: missingData("finance/sent_valid.csv"),
  },
  "front-desk": {
    name: "front-desk",
    columns: { text: "text", label: "label" },
    labelOf: (label) => (DESKS.includes(label) ? label : undefined),
    labels: DESKS.join(", "),
    findData: () => makeFrontDeskTest(sharedFolder),
    withoutData:
      "Give a labelled file with --data FILE; one is made from the data sets in ../shared/data with python3, and one of them is not there.",
  },
}

/** The file to evaluate on: the one given, or the task's own where there is one; else `undefined`. */
export const dataFileOf = (task: EvaluationTask, given: string | undefined): string | undefined =>
  given ?? task.findData()
