/** The boundary between a process that may be killed at any moment and the test that reads what it says. */
import { writeSync } from "node:fs"

/**
 * Writes a line to standard output before anything else can happen to this process. A pipe that its reader does not empty
 * in time answers EAGAIN; then it is tried again.
 */
export const say = (line: string): void => {
  for (;;) {
    try {
      writeSync(1, `${line}\n`)
      return
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) throw error
    }
  }
}
