export { SqliteLogReader } from "./SqliteLogReader.ts"
export { SqliteStore } from "./SqliteStore.ts"
export type { StoreOptions } from "./StoreOptions.ts"
