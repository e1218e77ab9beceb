/**
 * The boundary to mistakes in a definition: an actor that could never work is refused where it is written, in one
 * sentence, and not when its first message comes.
 */

interface Definition {
  readonly tasks: ReadonlyArray<string>
  readonly handlers: ReadonlyArray<string>
  readonly hasState: boolean
  readonly hasInitialState: boolean
  readonly version: number
  readonly migrations: Readonly<Record<number, unknown>> | undefined
  readonly concurrency: number
  readonly attemptsMax: number
  readonly restartsMax: number
  readonly withinMs: number
  readonly capacity: number
  readonly onCrash: unknown
  readonly whenFull: string
  readonly waitersMax: number
  readonly ageingMs: number
  readonly idleMsMax: number | undefined
}

/** A day: who would have priorities last longer wants two actors. */
const AGEING_MS_MAX = 86_400_000

/** Below that, actors would come and go between two messages of one conversation. */
export const IDLE_MS_MIN = 1_000

const whole = (name: string, value: number, min: number): string | undefined =>
  Number.isSafeInteger(value) && value >= min
    ? undefined
    : `${name} must be a whole number, ${min} or more, and is ${value}`

const oneOf = (name: string, value: string, known: ReadonlyArray<string>): string | undefined =>
  known.includes(value) ? undefined : `${name} must be one of ${known.join(", ")}, and is ${value}`

const wholeUpTo = (name: string, value: number, min: number, max: number): string | undefined =>
  Number.isSafeInteger(value) && value >= min && value <= max
    ? undefined
    : `${name} must be a whole number from ${min} to ${max}, and is ${value}`

const migrationMistake = ({ migrations = {}, version }: Definition): string | undefined => {
  const odd = Object.keys(migrations).find(
    (key) => !(Number.isSafeInteger(Number(key)) && Number(key) >= 1 && Number(key) < version),
  )
  return odd === undefined
    ? undefined
    : `it has a migration from version ${odd}, and there are only those from versions below its own, which is ${version}`
}

const mistakeIn = (definition: Definition): string | undefined => {
  const { tasks, handlers } = definition
  const double = tasks.find((task, index) => tasks.indexOf(task) !== index)
  if (double !== undefined) return `its protocol has the task ${double} twice`
  const missing = tasks.find((task) => !handlers.includes(task))
  if (missing !== undefined) return `it has no handler for its task ${missing}`
  if (typeof definition.onCrash !== "function") return "its supervision.onCrash is not a function"
  if (definition.hasState && !definition.hasInitialState) return "it has a state and no initialState"
  return (
    whole("version", definition.version, 1) ??
    migrationMistake(definition) ??
    whole("concurrency", definition.concurrency, 1) ??
    whole("retry.attemptsMax", definition.attemptsMax, 1) ??
    whole("supervision.restartsMax", definition.restartsMax, 0) ??
    whole("supervision.withinMs", definition.withinMs, 1) ??
    whole("mailbox.capacity", definition.capacity, 1) ??
    whole("mailbox.waitersMax", definition.waitersMax, 1) ??
    oneOf("mailbox.whenFull", definition.whenFull, ["reject", "wait", "dropOldest"]) ??
    whole("idleMsMax", definition.idleMsMax ?? IDLE_MS_MIN, IDLE_MS_MIN) ??
    wholeUpTo("mailbox.ageingMs", definition.ageingMs, 1, AGEING_MS_MAX)
  )
}

/** Throws where the actor `name` cannot work. */
export const checkDefinition = (name: string, definition: Definition): void => {
  const mistake = mistakeIn(definition)
  if (mistake !== undefined) throw new Error(`The actor ${name} is not defined well: ${mistake}.`)
}
