import { writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { parse } from "csv-parse/sync"
import { Effect, Result } from "effect"
import { describe, expect, it } from "vitest"
import { interleave } from "../src/messages/interleave.ts"
import { MESSAGE_BYTES_MAX, MESSAGES_MAX, parseMessages } from "../src/messages/parseMessages.ts"
import { readBundledMessages, readMessages } from "../src/messages/readMessages.ts"
import { hasSharedData, NO_DATA, readSharedData } from "./sharedData.ts"

const parseText = (text: string) => Effect.runSync(Effect.result(parseMessages("m.jsonl", text)))
const refusal = (text: string) => {
  const result = parseText(text)
  return Result.isFailure(result) ? result.failure.message : "was accepted"
}
const bundled = () => Effect.runPromise(readBundledMessages.pipe(Effect.provide(NodeServices.layer)))

describe("a messages file, misused", () => {
  it("1. that is missing or a folder is named in the error", async () => {
    const read = (file: string) =>
      Effect.runPromise(Effect.flip(readMessages(file)).pipe(Effect.provide(NodeServices.layer)))
    expect((await read("/nowhere/m.txt")).message).toBe("/nowhere/m.txt: cannot be read (NotFound); check the path.")
    expect((await read(tmpdir())).message).toMatch(/is not a file/)
  })
  it("2. that is empty says so", () => {
    expect(refusal("\n  \n")).toBe("m.jsonl: holds no message; write one a line.")
  })
  it("3. names the line of broken JSON, of a missing field, of an empty text", () => {
    expect(refusal("hello\n{oops")).toMatch(/^m\.jsonl, line 2: begins with "\{" but is not JSON/)
    expect(refusal('{"conversation":"a"}')).toMatch(/^m\.jsonl, line 1: .*text/)
    expect(refusal('{"conversation":"a","text":""}')).toMatch(/^m\.jsonl, line 1: /)
    expect(refusal('{"conversation":"a","text":7}')).not.toContain("\n")
  })
  it("4. names a turn that is out of order", () => {
    const text = '{"conversation":"a","text":"x","turn":1}\n{"conversation":"a","text":"y","turn":3}'
    expect(refusal(text)).toMatch(/^m\.jsonl, line 2: turn is 3, but it is turn 2 of conversation "a"/)
  })
  it("5. is refused past its bounds and taken at them", () => {
    expect(refusal(`ok\n${"x".repeat(MESSAGE_BYTES_MAX + 1)}`)).toMatch(
      /^m\.jsonl, line 2: the message is over the limit/,
    )
    expect(Result.isSuccess(parseText("x".repeat(MESSAGE_BYTES_MAX)))).toBe(true)
    expect(Result.isSuccess(parseText("x\n".repeat(MESSAGES_MAX)))).toBe(true)
    expect(refusal("x\n".repeat(MESSAGES_MAX + 1))).toMatch(/more than 100000 messages/)
  })
})

describe("a messages file", () => {
  it("6. mixes plain lines and JSON lines, passes over blank ones, and keeps the order", async () => {
    const text = '\uFEFFhi there\r\n\r\n{"conversation":"a","text":"one"}\n{"conversation":"a","text":"two","turn":2}\n'
    const file = join(tmpdir(), `pontoon-messages-${process.pid}.txt`)
    writeFileSync(file, text)
    expect(await Effect.runPromise(readMessages(file).pipe(Effect.provide(NodeServices.layer)))).toEqual([
      { conversation: "line-1", text: "hi there" },
      { conversation: "a", text: "one" },
      { conversation: "a", text: "two", turn: 2 },
    ])
  })
  it("7. interleaves conversations, each in its own order, and the same for the same numbers", () => {
    const messages = ["a1", "a2", "a3", "b1", "b2", "c1"].map((text) => ({ conversation: text[0]!, text }))
    const numbers = () => {
      let state = 7
      return () => {
        state = (state * 48271) % 2147483647
        return state / 2147483647
      }
    }
    const order = interleave(messages, numbers())
    expect(interleave(messages, numbers())).toEqual(order)
    expect(order).not.toEqual(messages)
    for (const conversation of ["a", "b", "c"]) {
      expect(order.filter((one) => one.conversation === conversation)).toEqual(
        messages.filter((one) => one.conversation === conversation),
      )
    }
  })
})

describe("the bundled messages", () => {
  it("8. are at least 60, with at least 12 conversations of two to five turns", async () => {
    const messages = await bundled()
    expect(messages.length).toBeGreaterThanOrEqual(60)
    const turns = new Map<string, number>()
    for (const { conversation } of messages) turns.set(conversation, (turns.get(conversation) ?? 0) + 1)
    expect([...turns.values()].filter((count) => count > 1).length).toBeGreaterThanOrEqual(12)
    expect(Math.max(...turns.values())).toBe(5)
    expect(new Set(messages.map((message) => message.text)).size).toBe(messages.length)
  })

  it("9. copy no line of a data set, not even but for case and punctuation", async (context) => {
    if (!hasSharedData) context.skip(NO_DATA)
    const normal = (text: string) =>
      text
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}]+/gu, " ")
        .trim()
    const lines = new Set<string>()
    for (const file of [
      "intent/banking77_train",
      "intent/banking77_test",
      "finance/sent_train",
      "finance/sent_valid",
    ]) {
      for (const [text] of parse(readSharedData(`${file}.csv`)).map((row) => [String(row[0])])) lines.add(normal(text!))
    }
    for (const line of readSharedData("dialogue/taskmaster4_coffee.txt").split("\n")) {
      lines.add(normal(line.replace(/^\s*(user|agent):/i, "")))
    }
    const clinc: Record<string, ReadonlyArray<readonly [string, string]>> = JSON.parse(
      readSharedData("intent/clinc150_full.json"),
    )
    for (const rows of Object.values(clinc)) for (const [text] of rows) lines.add(normal(text))
    expect(lines.size).toBeGreaterThan(40_000)
    const copied = (await bundled()).filter((message) => lines.has(normal(message.text)))
    expect(copied.map((message) => message.text)).toEqual([])
  })
})
