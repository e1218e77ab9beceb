/** The boundary from `1,8,32` to numbers. */
import { Effect } from "effect"
import { refuse } from "./Output.ts"

/** As many slots as an engine may have. */
const AT_ONCE_MAX = 256
/** A round takes seconds; more of them are a benchmark, not a look. */
const ROUNDS_MAX = 8

export const parseConcurrency = (text: string) => {
  const parts = text.split(",").map((part) => part.trim())
  const numbers = parts.map(Number)
  const isGood = numbers.every(
    (each, at) => parts[at] !== "" && Number.isInteger(each) && each >= 1 && each <= AT_ONCE_MAX,
  )
  return isGood && numbers.length <= ROUNDS_MAX
    ? Effect.succeed(numbers)
    : Effect.fail(
        refuse(
          `--concurrency "${text}": give 1 to ${ROUNDS_MAX} whole numbers from 1 to ${AT_ONCE_MAX}, as in 1,8,32.`,
        ),
      )
}
