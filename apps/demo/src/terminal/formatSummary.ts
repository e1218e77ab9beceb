/** The boundary between what the log says after the play and the tables at its end. */
import { type Column, formatTable } from "./formatTable.ts"

/** One actor type's share of the play; latencies in milliseconds from acceptance to the reply's commit. */
export interface ActorLine {
  readonly actor: string
  readonly actors: number
  readonly messages: number
  readonly restarts: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly p99Ms: number
}

export interface RerouteLine {
  readonly pool: string
  readonly from: string
  readonly to: string
  readonly reason: string
  readonly count: number
}

export interface DemoSummary {
  readonly accepted: number
  readonly done: number
  readonly failed: number
  readonly dead: number
  /** Accepted, and neither answered nor settled in any other way. */
  readonly lost: number
  /** Answered more than once. */
  readonly doubled: number
  readonly actors: ReadonlyArray<ActorLine>
  readonly reroutes: ReadonlyArray<RerouteLine>
  readonly db: string
  /** A conversation that is worth tracing: it went through several desks. */
  readonly traceId: string
}

const right = (head: string): Column => ({ head, align: "right" })

const ACTOR_COLUMNS: ReadonlyArray<Column> = [
  { head: "actor" },
  ...["actors", "messages", "restarts", "p50 ms", "p95 ms", "p99 ms"].map(right),
]
const REROUTE_COLUMNS: ReadonlyArray<Column> = [
  { head: "pool" },
  { head: "from" },
  { head: "to" },
  { head: "why" },
  right("times"),
]

/** A path is quoted for a shell where it needs it. */
const shellWord = (text: string): string =>
  /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`

/** The tables at the end of the play, and the three commands to look further. */
export const formatSummary = (summary: DemoSummary): string => {
  const { accepted, dead, done, doubled, failed, lost } = summary
  const db = shellWord(summary.db)
  const actors = summary.actors.map((one) => [
    one.actor,
    ...[one.actors, one.messages, one.restarts, one.p50Ms, one.p95Ms, one.p99Ms].map((value) =>
      String(Math.round(value)),
    ),
  ])
  const reroutes = summary.reroutes.map((one) => [one.pool, one.from, one.to, one.reason, String(one.count)])
  return [
    `${accepted} messages accepted: ${done} done, ${failed} failed, ${dead} dead, ${lost} lost, ${doubled} doubled`,
    "",
    formatTable(ACTOR_COLUMNS, actors),
    "",
    reroutes.length === 0 ? "no reroutes" : formatTable(REROUTE_COLUMNS, reroutes),
    "",
    "Look further:",
    `  npm run -s pontoon -- trace ${shellWord(summary.traceId)} --db ${db}`,
    `  npm run -s pontoon -- routes --db ${db}`,
    `  sqlite3 ${db} 'select * from latency'`,
    "",
  ].join("\n")
}
