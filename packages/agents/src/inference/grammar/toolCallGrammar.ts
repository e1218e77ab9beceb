/**
 * The boundary between tools and the answers that call them: one call, as JSON, of one of the tools with arguments of its
 * schema; or, where none has to be called, any text that does not look like one. Pure; throws `FormatProblem`.
 *
 *     {"name": "weather", "arguments": {"city": "Rome"}}
 *
 * Models that were trained to put `<tool_call>` around it may do so.
 */
import type { ToolTerms } from "../../ModelTarget.ts"
import {
  choice,
  type Expression,
  FormatProblem,
  type Grammar,
  invertRanges,
  optional,
  repeat,
  rule,
  sequence,
  text,
} from "./Expression.ts"
import { jsonSchemaGrammar } from "./jsonSchemaGrammar.ts"
import { COLON, COMMA } from "./jsonText.ts"

const prefixed = (expression: Expression, prefix: string): Expression => {
  switch (expression.kind) {
    case "rule":
      return rule(prefix + expression.name)
    case "repeat":
      return { ...expression, part: prefixed(expression.part, prefix) }
    case "sequence":
    case "choice":
      return { ...expression, parts: expression.parts.map((part) => prefixed(part, prefix)) }
    default:
      return expression
  }
}

const argumentsOf = (name: string, parameters: unknown): Grammar => {
  try {
    return jsonSchemaGrammar(parameters)
  } catch (problem) {
    if (problem instanceof FormatProblem) throw new FormatProblem(`tool "${name}": ${problem.message}`)
    throw problem
  }
}

const not = (character: string): Expression => {
  const code = character.charCodeAt(0)
  return { kind: "class", ranges: invertRanges([[code, code]]) }
}
const ANYTHING = repeat({ kind: "class", ranges: invertRanges([]) }, 0)
const LINE = optional(text("\n"))

/** Text that begins neither as a call nor as `<tool_call>`; `<think>` and tables may. */
const FREE = optional(
  choice(
    sequence(
      {
        kind: "class",
        ranges: invertRanges([
          [0x3c, 0x3c],
          [0x7b, 0x7b],
        ]),
      },
      ANYTHING,
    ),
    sequence(text("<"), not("t"), ANYTHING),
    sequence(text("<t"), not("o"), ANYTHING),
  ),
)

export const toolCallGrammar = ({ choice: asked, definitions }: ToolTerms): Grammar => {
  const rules = new Map<string, Expression>()
  const calls = definitions.map(({ name, parameters }, at) => {
    const prefix = `tool ${at} `
    for (const [known, expression] of argumentsOf(name, parameters).rules) {
      rules.set(prefix + known, prefixed(expression, prefix))
    }
    return sequence(
      ...[text('{"name"'), COLON, text(JSON.stringify(name)), COMMA],
      ...[text('"arguments"'), COLON, rule(`${prefix}root`), text("}")],
    )
  })
  rules.set("call", choice(...calls))
  const call = choice(rule("call"), sequence(text("<tool_call>"), LINE, rule("call"), LINE, text("</tool_call>")))
  rules.set("root", asked === "required" ? call : choice(call, FREE))
  return { rules, root: "root" }
}
