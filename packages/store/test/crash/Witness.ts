/** The boundary between processes that die and those who judge: what they had said before, line by line. */
import type { LogContents } from "@pontoon/runtime/testing"

const readingOf = (messageId: string, [from, ...chunks]: ReadonlyArray<string>) => ({
  messageId,
  from: Number(from),
  chunks: (JSON.parse(chunks.join(" ")) as ReadonlyArray<string>).map((chunk) => JSON.stringify(chunk)),
})

/** What the children of one file have said before they died. */
export class Witness {
  readonly accepted = new Set<string>()
  /** By message id. */
  readonly replies = new Map<string, string>()
  /** By idempotency key. */
  readonly answers = new Map<string, string>()
  readonly readings: Array<{
    readonly messageId: string
    readonly from: number
    readonly chunks: ReadonlyArray<string>
  }> = []
  lines = 0

  hear(line: string): void {
    const [what, name = "", ...rest] = line.split(" ")
    this.lines++
    if (what === "accepted") this.accepted.add(name)
    else if (what === "replied") this.replies.set(name, rest.join(" "))
    else if (what === "answered") this.answers.set(name, rest.join(" "))
    else if (what === "read") this.readings.push(readingOf(name, rest))
    else throw new Error(`a child said "${line}"`)
  }

  /** With the answers put under the ids of their messages. */
  repliesIn({ messages }: LogContents): ReadonlyMap<string, string> {
    const ids = new Map(messages.map(({ id, idempotencyKey }) => [idempotencyKey ?? "", id]))
    const answers = [...this.answers].map(([key, reply]) => [ids.get(key) ?? `with the key ${key}`, reply] as const)
    return new Map([...this.replies, ...answers])
  }
}
