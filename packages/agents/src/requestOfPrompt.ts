/**
 * The boundary from a call of effect/ai's `LanguageModel` to what a `ModelTarget` is asked: messages, format and tools. Pure.
 *
 * Calls of tools and their results, in the history, are said as text: the call as the model wrote it, the result as what the
 * user says next. What a text model cannot read is refused.
 */
import { Result, Schema } from "effect"
import { AiError, LanguageModel, type Prompt, Tool } from "effect/ai"
import type { AnswerFormat, ChatMessage, TargetDescription, ToolDefinition, ToolTerms } from "./ModelTarget.ts"

export const refuse = (method: string, parameter: string, description: string): AiError.AiError =>
  AiError.make({
    module: "Pontoon",
    method,
    reason: new AiError.InvalidRequestError({ parameter, description }),
  })

export interface PromptRequest {
  readonly prompt: ReadonlyArray<ChatMessage>
  readonly format: AnswerFormat | undefined
  readonly tools: ToolTerms | undefined
}

/** A call as the model writes it: what is in the history looks like what is asked for. */
const callText = (name: string, params: unknown): string =>
  JSON.stringify({ name, arguments: params }).replace(/^\{"name":/, '{"name": ')

const resultText = (name: string, result: unknown, isFailure: boolean): string =>
  `${isFailure ? "Failure" : "Result"} of ${name}: ${JSON.stringify(result)}`

/** The text of one message; what is not text in place of it where there is such a part. */
const textOf = (message: Prompt.Message): Result.Result<ChatMessage, string> => {
  if (message.role === "system") return Result.succeed({ role: "system", content: message.content })
  const texts: Array<string> = []
  for (const part of message.content) {
    if (part.type === "text") texts.push(part.text)
    else if (part.type === "tool-call") texts.push(callText(part.name, part.params))
    else if (part.type === "tool-result") texts.push(resultText(part.name, part.result, part.isFailure))
    else return Result.fail(`a part of type ${part.type}`)
  }
  // Templates differ in what they make of a tool's message; all of them take the user's.
  if (message.role === "tool") return Result.succeed({ role: "user", content: texts.join("\n") })
  return Result.succeed({ role: message.role, content: texts.join("") })
}

const asJson = Schema.decodeUnknownResult(Schema.Json)

const definitionOf = (tool: Tool.Any): Result.Result<ToolDefinition, string> => {
  if (Tool.isProviderDefined(tool)) return Result.fail(`tool ${tool.name} is another provider's own`)
  const schema = Result.try({
    try: () => Tool.getJsonSchema(tool),
    catch: (cause) => `the parameters of tool ${tool.name} have no JSON schema: ${String(cause)}`,
  })
  const parameters = Result.flatMap(schema, (made) => Result.mapError(asJson(made), String))
  const description = Tool.getDescription(tool)
  return Result.map(parameters, (json) => ({
    name: tool.name,
    ...(description === undefined ? {} : { description }),
    parameters: json,
  }))
}

/** Which tools may be called, and whether one has to be. */
const chosen = ({ toolChoice, tools }: LanguageModel.ProviderOptions) => {
  if (toolChoice === "none") return { allowed: [], choice: "auto" } as const
  if (toolChoice === "auto" || toolChoice === "required") return { allowed: tools, choice: toolChoice }
  const names: ReadonlyArray<string> = "tool" in toolChoice ? [toolChoice.tool] : toolChoice.oneOf
  const choice = "tool" in toolChoice ? "required" : (toolChoice.mode ?? "auto")
  return { allowed: tools.filter((tool) => names.includes(tool.name)), choice }
}

const toolTerms = (options: LanguageModel.ProviderOptions): Result.Result<ToolTerms | undefined, string> => {
  const { allowed, choice } = chosen(options)
  const [first] = allowed
  if (first === undefined) {
    return choice === "required"
      ? Result.fail("a tool has to be called, and the toolkit has none of that name")
      : Result.succeed(undefined)
  }
  return Result.map(Result.all(allowed.map(definitionOf)), (definitions) => ({ definitions, choice }))
}

const formatOf = ({
  responseFormat,
}: LanguageModel.ProviderOptions): Result.Result<AnswerFormat | undefined, string> => {
  if (responseFormat.type === "text") return Result.succeed(undefined)
  const schema = Result.try({
    // What effect/ai decodes the answer by.
    try: () => LanguageModel.defaultCodecTransformer(responseFormat.schema).jsonSchema,
    catch: (cause) => `the schema of ${responseFormat.objectName} has no JSON schema: ${String(cause)}`,
  })
  return Result.flatMap(schema, (made) => Result.map(Result.mapError(asJson(made), String), (json) => ({ json })))
}

/** What a call asks of a target; an `AiError` that is not retryable where it cannot do it. */
export const requestOfPrompt = (
  method: string,
  options: LanguageModel.ProviderOptions,
  capabilities: TargetDescription["capabilities"],
): Result.Result<PromptRequest, AiError.AiError> => {
  const prompt: Array<ChatMessage> = []
  for (const message of options.prompt.content) {
    const text = textOf(message)
    if (Result.isFailure(text)) {
      return Result.fail(refuse(method, "prompt", `this model reads text, not ${text.failure}; leave it out`))
    }
    prompt.push(text.success)
  }
  const format = formatOf(options)
  if (Result.isFailure(format)) return Result.fail(refuse(method, "schema", format.failure))
  const tools = toolTerms(options)
  if (Result.isFailure(tools)) return Result.fail(refuse(method, "toolkit", tools.failure))
  if (capabilities.format !== true && format.success !== undefined) {
    return Result.fail(
      refuse(method, "schema", "this model keeps to no format; use generateText and parse what it says"),
    )
  }
  if (capabilities.format !== true && tools.success !== undefined) {
    return Result.fail(refuse(method, "toolkit", "this model calls no tools; leave the toolkit out"))
  }
  return Result.succeed({ prompt, format: format.success, tools: tools.success })
}
