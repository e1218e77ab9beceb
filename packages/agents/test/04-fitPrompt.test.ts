import { Result } from "effect"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { ChatMessage } from "../src/index.ts"
import { fitPrompt } from "../src/inference/text/fitPrompt.ts"
import { assistant, system, user } from "./support/engines.ts"

/** One token a character, and two around each message. */
const encodeChat = (messages: ReadonlyArray<ChatMessage>) =>
  Result.succeed(messages.flatMap((message) => [0, ...[...message.content].map((letter) => letter.charCodeAt(0)), 1]))
/** As above, but the user has to speak first after the system. */
const encodeStrictly = (messages: ReadonlyArray<ChatMessage>) =>
  messages.find((message) => message.role !== "system")?.role === "user"
    ? encodeChat(messages)
    : Result.fail("the user speaks first")

const conversation = [
  system("sys"),
  user("first"),
  assistant("second"),
  user("third"),
  assistant("fourth"),
  user("last"),
]

describe("fitPrompt", () => {
  it("refuses what does not fit, with the number of tokens", () => {
    expect(fitPrompt(conversation, 10, "refuse", encodeChat)).toEqual(
      Result.fail({ _tag: "TooLong", promptTokens: 41, atLeastTokens: 41 }),
    )
  })

  it("says how long it still is once all that may go is gone", () => {
    expect(fitPrompt(conversation, 10, "drop-oldest", encodeChat)).toEqual(
      Result.fail({ _tag: "TooLong", promptTokens: 41, atLeastTokens: 11 }),
    )
  })

  it("passes on what the chat template refuses", () => {
    expect(fitPrompt([assistant("hi")], 99, "refuse", encodeStrictly)).toEqual(
      Result.fail({ _tag: "Refused", message: "the user speaks first" }),
    )
  })

  it("leaves alone what fits", () => {
    const fitted = Result.getOrThrow(fitPrompt(conversation, 41, "drop-oldest", encodeChat))
    expect(fitted.tokenIds).toHaveLength(41)
    expect(fitted.cut).toBeUndefined()
  })

  it("drops the fewest turns from the oldest on, and keeps the system message and the last turn", () => {
    const fitted = Result.getOrThrow(fitPrompt(conversation, 30, "drop-oldest", encodeChat))
    const expected = [conversation[0]!, ...conversation.slice(3)]
    expect(fitted.tokenIds).toEqual(Result.getOrThrow(encodeChat(expected)))
    expect(fitted.cut).toEqual({ rule: "drop-oldest", droppedTurns: 2, droppedTokens: 15 })
  })

  it("goes on to the next cut that the template takes", () => {
    const fitted = Result.getOrThrow(fitPrompt(conversation, 35, "drop-oldest", encodeStrictly))
    // Dropping one turn would fit, but leaves the assistant to speak first.
    expect(fitted.cut?.droppedTurns).toBe(2)
  })

  it("finds the same cut as trying them one after the other", () => {
    const turn = fc.record({
      role: fc.constantFrom("user" as const, "assistant" as const),
      content: fc.string({ maxLength: 9 }),
    })
    const prompts = fc.tuple(fc.boolean(), fc.array(turn, { minLength: 1, maxLength: 12 }))
    fc.assert(
      fc.property(prompts, fc.nat({ max: 100 }), fc.boolean(), ([withSystem, turns], room, strict) => {
        const prompt = withSystem ? [system("s"), ...turns] : turns
        const encode = strict ? encodeStrictly : encodeChat
        if (Result.isFailure(encode(prompt))) return
        const head = withSystem ? 1 : 0
        let expected: number | undefined
        for (let dropped = 0; dropped < turns.length && expected === undefined; dropped++) {
          const left = encode([...prompt.slice(0, head), ...prompt.slice(head + dropped)])
          if (Result.isSuccess(left) && left.success.length <= room) expected = dropped
        }
        const fitted = fitPrompt(prompt, room, "drop-oldest", encode)
        expect(Result.isSuccess(fitted) ? (fitted.success.cut?.droppedTurns ?? 0) : undefined).toBe(expected)
      }),
      { numRuns: 2000 },
    )
  })
})
