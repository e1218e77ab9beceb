/**
 * The boundary between the life of a message and what an operator does about it: the likely cause of its end, in
 * sentences. Pure: the same history gives the same diagnosis.
 *
 * It counts and compares, and guesses where it says "likely". What it looks at is in the sentence, so that one who knows
 * better can see why it is wrong.
 */
import type { RecordedError } from "../message/RecordedError.ts"
import type { HistoryAttempt, MessageHistory } from "./MessageHistory.ts"

export type Cause =
  /** It has not ended. */
  | "unfinished"
  | "answered"
  | "cancelled"
  /** Its handler gave an error that no second attempt would change. */
  | "refused"
  | "expired"
  /** Its actor takes no messages. */
  | "actor"
  /** The process died each time. */
  | "process"
  /** Its actor was restarted while it ran, because of something else. */
  | "restarts"
  /** The same failure, whoever runs it: the message itself. */
  | "input"
  /** The same failure befalls others too: what the actor needs. */
  | "surroundings"
  /** No target of its pool could do it. */
  | "pool"
  /** Different failures. */
  | "varied"
  | "redriven"

export interface Finding {
  readonly cause: Cause
  /** What it rests on, and what to do. */
  readonly sentence: string
}

const MINUTE_MS = 60_000

/** `30 ms`, `4.2 s`, `17 minutes`: what tells a burst from an outage. */
const lasting = (ms: number): string => {
  if (ms < 1_000) return `${ms} ms`
  if (ms < 2 * MINUTE_MS) return `${Math.round(ms / 100) / 10} s`
  return `${Math.round(ms / MINUTE_MS)} minutes`
}

const said = ({ message, tag }: RecordedError): string => `${tag}: ${message.replace(/\.$/, "")}`

const counted = (count: number, one: string, many: string): string => (count === 1 ? one : `${count} ${many}`)

const addressOf = ({ message }: MessageHistory): string => `${message.actorType}/${message.actorId}`

const died = ({ error }: HistoryAttempt): boolean => error.tag === "RetryableProcessDied"
const cutShort = ({ error }: HistoryAttempt): boolean => error.tag === "RetryableRestarted"

/** States in which an actor is given no messages, until somebody brings it back. */
const GONE = new Set(["failed", "stopped", "draining"])

/** From the beginning of the first of these attempts to the end of the last. */
const spanOf = (attempts: ReadonlyArray<HistoryAttempt>): number => {
  const [first] = attempts
  const last = attempts.at(-1)
  return first === undefined || last === undefined
    ? 0
    : Math.max(0, last.finishedAtMs - (first.startedAtMs ?? first.finishedAtMs))
}

const distinct = <A>(values: ReadonlyArray<A>): ReadonlyArray<A> => [...new Set(values)]

/** An actor that is gone, or cannot read its own state: nothing of the message's. */
const actorFindings = (history: MessageHistory): ReadonlyArray<Finding> => {
  const { actor, error } = history
  if (error?.tag !== "TerminalActorFailed") return []
  const name = addressOf(history)
  const now =
    actor !== undefined && !GONE.has(actor.state)
      ? `It is ${actor.state} now: redrive the message.`
      : `Bring it back first (pontoon restart ${name}), then redrive the message.`
  return [{ cause: "actor", sentence: `Its actor took no messages (${error.message.replace(/\.$/, "")}). ${now}` }]
}

const processFindings = (attempts: ReadonlyArray<HistoryAttempt>): ReadonlyArray<Finding> => {
  const deaths = attempts.filter(died).length
  if (deaths === 0) return []
  if (deaths < attempts.length) {
    const sentence = `${deaths} of its ${attempts.length} attempts ended with the death of the process.`
    return [{ cause: "process", sentence }]
  }
  const each = deaths === 1 ? "Its only attempt" : `Each of its ${deaths} attempts`
  return [
    {
      cause: "process",
      sentence: `${each} ended with the death of the process: it likely kills its process. Redrive it only where a death does no harm.`,
    },
  ]
}

const restartFindings = (attempts: ReadonlyArray<HistoryAttempt>): ReadonlyArray<Finding> => {
  const cuts = attempts.filter(cutShort)
  if (cuts.length === 0) return []
  const share = cuts.length === attempts.length ? "Every attempt" : `${cuts.length} of ${attempts.length} attempts`
  const targets = distinct(cuts.map(({ target }) => target)).join(", ")
  return [
    {
      cause: "restarts",
      sentence: `${share} was cut short because ${targets} was restarted while it ran: another message, or its start, crashed it.`,
    },
  ]
}

const poolFindings = (history: MessageHistory, attempts: ReadonlyArray<HistoryAttempt>): ReadonlyArray<Finding> => {
  const { message, poolTargets } = history
  const targets = distinct(attempts.map(({ target }) => target))
  if (message.pool === null || targets.length < 2) return []
  const isAll = poolTargets.length > 0 && poolTargets.every((target) => targets.includes(target))
  const share = isAll ? "every target" : `${targets.length} targets`
  return [
    {
      cause: "pool",
      sentence: `It failed on ${share} of the pool ${message.pool} (${targets.join(", ")}): the cause is not one target's.`,
    },
  ]
}

/** What the same error each time says of the message, seen beside what happened to others of its kind meanwhile. */
const sameErrorFinding = (
  { around, message }: MessageHistory,
  attempts: ReadonlyArray<HistoryAttempt>,
  error: RecordedError,
): Finding => {
  const times = counted(attempts.length, "once", "times")
  const how = attempts.length === 1 ? "" : " on the same error"
  const fact = `It failed ${times}${how}, ${said(error)}, within ${lasting(spanOf(attempts))}`
  if (around.answered > 0) {
    const others = counted(around.answered, "another message", "other messages")
    const sentence = `${fact}, while ${others} for ${message.task} got an answer: the input is the likely cause. Redrive it with another body (--body), or mend its handler.`
    return { cause: "input", sentence }
  }
  if (around.sameError > 0) {
    const others = counted(around.sameError, "another message", "others")
    const sentence = `${fact}, and so did ${others}, while none was answered: what its actor needs is the likely cause. Redrive them together when it is back (pontoon redrive --error ${error.tag}).`
    return { cause: "surroundings", sentence }
  }
  const sentence = `${fact}: the input is the likely cause, unless what its actor needs was away all that time.`
  return { cause: "input", sentence }
}

const errorFindings = (history: MessageHistory, attempts: ReadonlyArray<HistoryAttempt>): ReadonlyArray<Finding> => {
  const telling = attempts.filter((attempt) => !died(attempt) && !cutShort(attempt))
  const last = telling.at(-1)
  // The actor's own end is told as that.
  if (last === undefined || last.error.tag === "TerminalActorFailed") return []
  const errors = distinct(telling.map(({ error }) => said(error)))
  if (errors.length === 1) return [sameErrorFinding(history, telling, last.error)]
  const sentence = `It failed ${telling.length} times on ${errors.length} different errors within ${lasting(spanOf(telling))}, the last ${said(last.error)}.`
  return [{ cause: "varied", sentence }]
}

const troubledFindings = (attempts: ReadonlyArray<HistoryAttempt>): ReadonlyArray<Finding> => {
  const troubled = attempts.filter(({ lifecycle }) => lifecycle?.state === "degraded")
  const last = troubled.at(-1)
  if (last === undefined) return []
  const share =
    troubled.length === attempts.length ? "Every attempt" : `${troubled.length} of ${attempts.length} attempts`
  const why = last.lifecycle?.reason ?? "for no recorded reason"
  return [{ cause: "surroundings", sentence: `${share} began while ${last.target} was degraded (${why}).` }]
}

const redriveFindings = ({ error, redrives }: MessageHistory): ReadonlyArray<Finding> => {
  if (redrives.length === 0 || error === undefined) return []
  const isSame = redrives.every(({ diedOf }) => diedOf?.tag === error.tag)
  const times = counted(redrives.length, "once", "times")
  const edited = redrives.filter(({ replacedBody }) => replacedBody !== undefined).length
  const bodies =
    edited === 0
      ? ""
      : `, ${edited === redrives.length ? "each time" : `${counted(edited, "once", "times")}`} with another body`
  const how = isSame
    ? `died of ${error.tag} again each time`
    : `had died of ${distinct(redrives.map(({ diedOf }) => diedOf?.tag ?? "nothing known")).join(", ")} before`
  return [{ cause: "redriven", sentence: `It was redriven ${times}${bodies}, and ${how}.` }]
}

const expiredFindings = (history: MessageHistory, attempts: ReadonlyArray<HistoryAttempt>): ReadonlyArray<Finding> => {
  const { actor, around, message } = history
  const waitedMs = Math.max(0, (message.finishedAtMs ?? 0) - message.createdAtMs)
  if (attempts.length > 0) {
    const sentence = `Its deadline passed ${lasting(waitedMs)} after it was accepted, in or after attempt ${message.attempt}: give it more time, or see why it failed.`
    return [
      { cause: "expired", sentence },
      ...errorFindings(
        history,
        attempts.filter(({ error }) => error.tag !== "TerminalExpired"),
      ),
    ]
  }
  const behind =
    around.ahead > 0
      ? `behind ${counted(around.ahead, "another message", "others")} of ${addressOf(history)}: that actor has more to do than it can`
      : `with nothing before it: ${addressOf(history)} ${actor === undefined ? "or its process was away" : `was ${actor.state}, or its process away`}`
  return [{ cause: "expired", sentence: `It expired after ${lasting(waitedMs)} of waiting, ${behind}.` }]
}

const deadFindings = (history: MessageHistory, attempts: ReadonlyArray<HistoryAttempt>): ReadonlyArray<Finding> => {
  const findings = [
    ...actorFindings(history),
    ...processFindings(attempts),
    ...restartFindings(attempts),
    ...poolFindings(history, attempts),
    ...errorFindings(history, attempts),
    ...troubledFindings(attempts),
    ...redriveFindings(history),
  ]
  if (findings.length > 0) return findings
  const why = history.error === undefined ? "no error was recorded" : said(history.error)
  return [{ cause: "varied", sentence: `It died before it was run: ${why}.` }]
}

/** What the life of a message comes to, the most likely cause first; one finding at least. */
export const diagnose = (history: MessageHistory): ReadonlyArray<Finding> => {
  const { error, message } = history
  // Those before a redrive had their own diagnosis. (`attemptsBefore` counts attempts that were put off, too.)
  const since = history.redrives.at(-1)?.attempt ?? 0
  const attempts = history.attempts.filter(({ attempt }) => attempt >= since)
  const { attempt, status } = message
  const why = error === undefined ? "no error was recorded" : said(error)
  switch (status) {
    case "pending":
      return [{ cause: "unfinished", sentence: `It has not ended: it waits for attempt ${attempt + 1}.` }]
    case "running":
      return [{ cause: "unfinished", sentence: `It has not ended: attempt ${attempt} runs.` }]
    case "done":
      return [{ cause: "answered", sentence: `It was answered at attempt ${attempt}.` }]
    case "cancelled":
      return [{ cause: "cancelled", sentence: `It was taken back, by its sender or an operator (${why}).` }]
    case "failed": {
      const sentence = `Its handler answered it with an error, ${why}: that is an answer, and the same message gets it again.`
      return [{ cause: "refused", sentence }]
    }
    case "expired":
      return expiredFindings(history, attempts)
    case "dead":
      return deadFindings(history, attempts)
  }
}
