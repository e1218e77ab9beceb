/**
 * The boundary between a model that has come from a hub as a whole and one that has not: where what is under way lies, and
 * how a folder says that it is neither the old model nor the new one.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"

/** In the model's folder: what has been fetched and is not in its place yet. */
export const STAGING = ".pull"
/** In the staging folder, while files go from there to their places. */
export const MOVING = "moving"

/** What is wrong with a folder that a pull was cut off in; undefined where nothing is. */
export const findUnfinishedPull = (folder: string): string | undefined => {
  const again = `run the same "pontoon-models pull" again, it goes on where it was`
  if (existsSync(join(folder, STAGING, MOVING))) {
    return `${folder} holds parts of two revisions, because a pull into it was cut off at its end; ${again}.`
  }
  return existsSync(join(folder, STAGING)) && !existsSync(join(folder, "tokenizer.json"))
    ? `${folder} is not complete, because a pull into it was cut off; ${again}.`
    : undefined
}
