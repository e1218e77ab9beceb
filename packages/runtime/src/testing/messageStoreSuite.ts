/**
 * The boundary that every store must hold: the contract of `MessageStore`, `Write` and `LogReader` as tests.
 *
 *     import { describe, expect, it } from "vitest"
 *     messageStoreSuite({ describe, expect, it }, "MyStore", open)
 *
 * `open` gives a fresh, empty store each time it is run, in a scope that closes it.
 */
import type { Effect, Scope } from "effect"
import { actorSection } from "./suite/actorSection.ts"
import { appendSection } from "./suite/appendSection.ts"
import { commitSection } from "./suite/commitSection.ts"
import { lifeSection } from "./suite/lifeSection.ts"
import { readSection } from "./suite/readSection.ts"
import { recordSection } from "./suite/recordSection.ts"
import { makeSuiteKit, type StoreUnderTest, type TestFramework } from "./suite/SuiteKit.ts"

/** Declares the whole suite, in reading order, under one `describe` named for the store. */
export const messageStoreSuite = (
  framework: TestFramework,
  name: string,
  open: Effect.Effect<StoreUnderTest, unknown, Scope.Scope>,
): void => {
  const kit = makeSuiteKit(framework, open)
  framework.describe(`${name} keeps the contract of MessageStore`, () => {
    framework.describe("1 append", () => appendSection(kit))
    framework.describe("2 the life of a message", () => lifeSection(kit))
    framework.describe("3 commit", () => commitSection(kit))
    framework.describe("4 records", () => recordSection(kit))
    framework.describe("5 reading and restarting", () => readSection(kit))
    framework.describe("6 actors", () => actorSection(kit))
  })
}
