/**
 * The boundary between the conformance suite and a test framework: what the suite needs of one, and what a store's
 * author hands over. Nothing here knows vitest.
 */
import { Effect, type Scope } from "effect"
import type { LogReader } from "../../ports/LogReader.ts"
import type { MessageStore } from "../../ports/MessageStore.ts"

/** The part of vitest, jest or node:test with an `expect` that the suite uses. */
export interface TestFramework {
  readonly describe: (name: string, body: () => void) => unknown
  readonly it: (name: string, body: () => Promise<void>) => unknown
  readonly expect: (actual: unknown) => {
    readonly toBe: (expected: unknown) => unknown
    readonly toEqual: (expected: unknown) => unknown
    readonly toMatchObject: (expected: object) => unknown
  }
}

/** One store, open and empty, with a reader of the same data. */
export interface StoreUnderTest {
  readonly store: MessageStore["Service"]
  readonly reader: LogReader["Service"]
  /** Closes the store, by its scope or by a crash, and opens the same data again. */
  readonly reopen: Effect.Effect<StoreUnderTest, unknown, Scope.Scope>
}

export interface SuiteKit {
  /** A test on a fresh, empty store. */
  readonly test: (name: string, body: (under: StoreUnderTest) => Effect.Effect<void, unknown, Scope.Scope>) => void
  readonly expect: TestFramework["expect"]
}

export const makeSuiteKit = (
  framework: TestFramework,
  open: Effect.Effect<StoreUnderTest, unknown, Scope.Scope>,
): SuiteKit => ({
  test: (name, body) => {
    framework.it(name, () => Effect.runPromise(Effect.scoped(Effect.flatMap(open, body))))
  },
  expect: framework.expect,
})
