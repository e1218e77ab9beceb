export * from "./SqliteLogReader.ts"
export * from "./SqliteStore.ts"
export * from "./StoreOptions.ts"
