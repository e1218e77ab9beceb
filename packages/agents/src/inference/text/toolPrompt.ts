/**
 * The boundary between tools and models that know none: how their definitions are said in plain words. Models whose chat
 * template has a place for tools get them there instead. Pure.
 */
import type { ChatMessage, ToolTerms } from "../../ModelTarget.ts"

/** The sentences, and a line for each tool. */
export const plainToolPrompt = ({ choice, definitions }: ToolTerms): string => {
  const lines = definitions.map(({ description, name, parameters }) =>
    JSON.stringify({ name, ...(description === undefined ? {} : { description }), parameters }),
  )
  const how = choice === "required" ? "Answer with a call of one of these tools" : "To call one of these tools, answer"
  return `${how} as JSON, {"name": NAME, "arguments": ARGUMENTS}, and nothing else:\n${lines.join("\n")}`
}

/** Says it before everything else that is said: at the beginning of the first message, whoever speaks it. */
export const withPlainTools = (messages: ReadonlyArray<ChatMessage>, tools: ToolTerms): ReadonlyArray<ChatMessage> => {
  const [first, ...others] = messages
  if (first === undefined) return messages
  return [{ ...first, content: `${plainToolPrompt(tools)}\n\n${first.content}` }, ...others]
}
