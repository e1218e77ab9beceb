/** Where the public data sets lie beside the repository; they are not part of it, so a clone may lack them. */
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const folder = fileURLToPath(new URL("../../../../shared/data", import.meta.url))

export const NO_DATA = "the data sets (../shared/data) are not on this machine"
export const hasSharedData = existsSync(`${folder}/intent/banking77_train.csv`)
export const sharedDataPath = (path: string): string => `${folder}/${path}`
export const readSharedData = (path: string): string => readFileSync(sharedDataPath(path), "utf8")
