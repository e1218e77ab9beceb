/**
 * plainjob 0.0.14 as a peer: a queue on better-sqlite3 and one worker. It knows no actors, no state and no replies: an ask
 * is a job that is added, worked and marked as done, so it writes less than ours. Its own default is `synchronous=NORMAL`;
 * here it is FULL.
 */
import Database from "better-sqlite3"
import { Effect } from "effect"
import { better, defineQueue, defineWorker } from "plainjob"
import { askFor, type Result, text } from "../askFor.ts"

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

export const runPlainJob = async (file: string, callers: number, seconds: number): Promise<Result> => {
  const database = new Database(file)
  // Its types are those of an older better-sqlite3; what it calls is the same.
  const queue = defineQueue({ connection: better(database as never), logger: silent })
  database.pragma("synchronous = full")
  const waiting = new Map<number, () => void>()
  const tell = ({ id }: { readonly id: number }): void => {
    waiting.get(id)?.()
    waiting.delete(id)
  }
  // Jobs must not keep the loop from turning for as long as there are any, or no pause of a caller would ever end.
  const work = () => new Promise<void>((resolve) => setImmediate(resolve))
  const worker = defineWorker("ask", work, { queue, logger: silent, pollIntervall: 1, onCompleted: tell })
  const working = worker.start()
  const ask = (actor: string) =>
    Effect.callback<void>((resume) => {
      const { id } = queue.add("ask", { actor, text })
      waiting.set(id, () => resume(Effect.void))
    })
  try {
    await askFor(callers, seconds / 4, ask)
    return await askFor(callers, seconds, ask)
  } finally {
    await worker.stop()
    await working
    queue.close()
  }
}
