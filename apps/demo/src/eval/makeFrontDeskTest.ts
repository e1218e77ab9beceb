/**
 * The boundary to front-desk's test set, which is a file of nobody's: its rows are put together from four data sets by a
 * script beside the training, and only where these and Python are there.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const script = fileURLToPath(new URL("../../train/make_front_desk_test.py", import.meta.url))
/** The set has half a megabyte. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024

/**
 * Writes the set to a new temporary file; `undefined` where it cannot be made. The same data give the same bytes, and so
 * the same keys in a log that is kept.
 *
 * @param sharedFolder where the data sets lie
 */
export const makeFrontDeskTest = (sharedFolder: string): string | undefined => {
  if (!existsSync(sharedFolder)) return undefined
  try {
    const csv = execFileSync("python3", [script, "--data", sharedFolder], {
      maxBuffer: OUTPUT_BYTES_MAX,
      stdio: ["ignore", "pipe", "ignore"],
    })
    const file = join(mkdtempSync(join(tmpdir(), "pontoon-eval-")), "front-desk-test.csv")
    writeFileSync(file, csv)
    return file
  } catch {
    // No Python, or not these data sets: the task's own sentence says what to do.
    return undefined
  }
}
