/** The boundary between the three things that can be evaluated and everything that is the same for them. */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { isBankingIntent } from "../banking/helpTexts.ts"
import { sentimentOf } from "../finance/describeSentiment.ts"
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
  /** Where the data set lies beside the repository; it is not part of it. */
  readonly defaultData: string | undefined
  /** What to do without `--data`, where there is no default. */
  readonly withoutData: string
}

const sharedFolder = fileURLToPath(new URL("../../../../../shared/data", import.meta.url))

const DESKS = ["coffee", "banking", "finance", "other"]

const sharedFile = (path: string) => `${sharedFolder}/${path}`

const missingData = (what: string) =>
  `Give a labelled file with --data FILE; ${what} is looked for in ../shared/data and is not there.`

export const evaluationTasks: Readonly<Record<EvaluationTaskName, EvaluationTask>> = {
  "banking-intent": {
    name: "banking-intent",
    columns: { text: "text", label: "category" },
    labelOf: (label) => (isBankingIntent(label) ? label : undefined),
    labels: "one of BANKING77's 77 categories",
    defaultData: sharedFile("intent/banking77_test.csv"),
    withoutData: missingData("intent/banking77_test.csv"),
  },
  "finance-sentiment": {
    name: "finance-sentiment",
    columns: { text: "text", label: "label" },
    labelOf: sentimentOf,
    labels: "0 or bearish, 1 or bullish, 2 or neutral",
    defaultData: sharedFile("finance/sent_valid.csv"),
    withoutData: missingData("finance/sent_valid.csv"),
  },
  "front-desk": {
    name: "front-desk",
    columns: { text: "text", label: "label" },
    labelOf: (label) => (DESKS.includes(label) ? label : undefined),
    labels: DESKS.join(", "),
    // Its test rows are put together from four data sets, by the script beside its training.
    defaultData: undefined,
    withoutData:
      "Give a labelled file with --data FILE; `python3 apps/demo/train/make_front_desk_test.py > front-desk-test.csv` makes one from the data sets.",
  },
}

/** The file to evaluate on: the one given, or the task's own where it is there; else `undefined`. */
export const dataFileOf = (task: EvaluationTask, given: string | undefined): string | undefined =>
  given ?? (task.defaultData !== undefined && existsSync(task.defaultData) ? task.defaultData : undefined)
