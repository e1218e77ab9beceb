export * from "./FaultyStore.ts"
export * from "./MemoryLog.ts"
export * from "./MemoryStore.ts"
