export type { RetentionOptions } from "./care/RetentionOptions.ts"
export { SqliteLogReader } from "./SqliteLogReader.ts"
export { SqliteStore } from "./SqliteStore.ts"
export type { StoreOptions } from "./StoreOptions.ts"
