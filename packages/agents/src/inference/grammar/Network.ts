/**
 * The boundary between a grammar and the machine that runs it: rules become nodes with edges of bytes, empty edges, and edges
 * that call another rule (a recursive transition network: Woods 1970). Each node knows how few bytes lead from it to the
 * end of its rule. Pure, and bounded: a grammar that would need more than `NODES_MAX` nodes is refused.
 */
import { type Expression, FormatProblem, type Grammar } from "./Expression.ts"
import { type ByteRange, utf8Ranges } from "./utf8Ranges.ts"

/** A bound of memory and of the time to build; more than schemas of a thousand properties need. */
export const NODES_MAX = 50_000

/** What is repeated more often than this becomes a rule of its own, so that a repetition costs two nodes. */
const INLINE_REPEATS_MAX = 2

export interface NetworkNode {
  readonly bytes: Array<{ readonly range: ByteRange; readonly to: number }>
  readonly empty: Array<number>
  readonly calls: Array<{ readonly rule: number; readonly to: number }>
  /** Bytes to the end of its rule at least; infinite where none leads there. */
  distance: number
}

export interface Network {
  readonly nodes: ReadonlyArray<NetworkNode>
  readonly rules: ReadonlyArray<{ readonly name: string; readonly start: number; readonly end: number }>
  readonly root: number
}

class Builder {
  readonly nodes: Array<NetworkNode> = []
  readonly #expressions: Array<Expression> = []
  readonly #names: Array<string> = []
  readonly #ruleOf = new Map<string, number>()
  readonly #canSpell: (byte: number) => boolean

  constructor(canSpell: (byte: number) => boolean) {
    this.#canSpell = canSpell
  }

  build(grammar: Grammar): Network {
    for (const [name, expression] of grammar.rules) this.#declare(name, expression)
    const root = this.#find(grammar.root)
    const rules: Array<{ name: string; start: number; end: number }> = []
    // Building a rule may declare further ones.
    for (let at = 0; at < this.#expressions.length; at++) {
      const start = this.#node()
      const end = this.#node()
      this.#add(this.#expressions[at]!, start, end)
      rules.push({ name: this.#names[at]!, start, end })
    }
    return { nodes: this.nodes, rules, root }
  }

  #declare(name: string, expression: Expression): number {
    this.#ruleOf.set(name, this.#expressions.length)
    this.#names.push(name)
    return this.#expressions.push(expression) - 1
  }

  #find(name: string): number {
    const found = this.#ruleOf.get(name)
    if (found === undefined) throw new FormatProblem(`there is no rule "${name}"`)
    return found
  }

  #node(): number {
    if (this.nodes.length === NODES_MAX) {
      throw new FormatProblem(`it needs more than ${NODES_MAX} nodes; lower its repetitions (maxLength, maxItems)`)
    }
    return this.nodes.push({ bytes: [], empty: [], calls: [], distance: Number.POSITIVE_INFINITY }) - 1
  }

  #add(expression: Expression, from: number, to: number): void {
    switch (expression.kind) {
      case "text":
        this.#addBytes(
          [...new TextEncoder().encode(expression.text)].map((byte) => [byte, byte]),
          from,
          to,
        )
        break
      case "class":
        for (const range of expression.ranges) for (const bytes of utf8Ranges(range)) this.#addBytes(bytes, from, to)
        break
      case "sequence": {
        let at = from
        for (const part of expression.parts) {
          const next = this.#node()
          this.#add(part, at, next)
          at = next
        }
        this.nodes[at]!.empty.push(to)
        break
      }
      case "choice":
        for (const part of expression.parts) this.#add(part, from, to)
        break
      case "repeat":
        this.#addRepeat(expression, from, to)
        break
      case "rule":
        this.nodes[from]!.calls.push({ rule: this.#find(expression.name), to })
        break
    }
  }

  #addBytes(ranges: ReadonlyArray<ByteRange>, from: number, to: number): void {
    if (ranges.length === 0) this.nodes[from]!.empty.push(to)
    let at = from
    for (const [index, [low, high]] of ranges.entries()) {
      const next = index === ranges.length - 1 ? to : this.#node()
      // Bytes that no token spells alone could not be written where the shortest completion needs them.
      for (let first = low; first <= high; first++) {
        if (!this.#canSpell(first)) continue
        let last = first
        while (last < high && this.#canSpell(last + 1)) last++
        this.nodes[at]!.bytes.push({ range: [first, last], to: next })
        first = last
      }
      at = next
    }
  }

  #addRepeat(expression: Extract<Expression, { kind: "repeat" }>, from: number, to: number): void {
    const { max, min } = expression
    const often = Math.max(min, max ?? 0) > INLINE_REPEATS_MAX && expression.part.kind !== "rule"
    const part: Expression = often
      ? { kind: "rule", name: this.#names[this.#declare(`repeated ${this.#names.length}`, expression.part)]! }
      : expression.part
    let at = from
    for (let count = 0; count < min; count++) {
      const next = this.#node()
      this.#add(part, at, next)
      at = next
    }
    if (max === undefined) {
      // A node of its own: what leads away from `at` for other reasons must not be part of the loop.
      const loop = this.#node()
      const back = this.#node()
      this.nodes[at]!.empty.push(loop)
      this.#add(part, loop, back)
      this.nodes[back]!.empty.push(loop)
      this.nodes[loop]!.empty.push(to)
      return
    }
    for (let count = min; count < max; count++) {
      this.nodes[at]!.empty.push(to)
      const next = this.#node()
      this.#add(part, at, next)
      at = next
    }
    this.nodes[at]!.empty.push(to)
  }
}

const distanceFrom = (node: NetworkNode, { nodes, rules }: Network): number => {
  let least = node.distance
  for (const { to } of node.bytes) least = Math.min(least, 1 + nodes[to]!.distance)
  for (const to of node.empty) least = Math.min(least, nodes[to]!.distance)
  for (const { rule, to } of node.calls) {
    least = Math.min(least, nodes[rules[rule]!.start]!.distance + nodes[to]!.distance)
  }
  return least
}

/** From the end backwards, again and again until nothing gets shorter: a few rounds, for rules are declared before use. */
const measure = (network: Network): void => {
  for (const { end } of network.rules) network.nodes[end]!.distance = 0
  for (let changed = true; changed; ) {
    changed = false
    for (let at = network.nodes.length - 1; at >= 0; at--) {
      const node = network.nodes[at]!
      const distance = distanceFrom(node, network)
      if (distance < node.distance) {
        node.distance = distance
        changed = true
      }
    }
  }
}

/** The rules that may begin each rule: without a byte before them. */
const beginnings = ({ nodes, rules }: Network, rule: number): ReadonlySet<number> => {
  const found = new Set<number>()
  const seen = new Set<number>()
  const open = [rules[rule]!.start]
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (seen.has(at)) continue
    seen.add(at)
    const node = nodes[at]!
    open.push(...node.empty)
    for (const call of node.calls) {
      found.add(call.rule)
      if (nodes[rules[call.rule]!.start]!.distance === 0) open.push(call.to)
    }
  }
  return found
}

const refuseLeftRecursion = (network: Network): void => {
  const done = new Set<number>()
  const trail: Array<number> = []
  const enter = (rule: number): void => {
    if (done.has(rule)) return
    if (trail.includes(rule)) {
      const { name } = network.rules[rule]!
      throw new FormatProblem(
        `rule "${name}" begins with itself, so nothing could ever be written; put something before it`,
      )
    }
    trail.push(rule)
    for (const next of beginnings(network, rule)) enter(next)
    trail.pop()
    done.add(rule)
  }
  for (const rule of network.rules.keys()) enter(rule)
}

/**
 * Builds the network of a grammar. Throws `FormatProblem`.
 *
 * @param canSpell whether the vocabulary has a token of this one byte
 */
export const buildNetwork = (grammar: Grammar, canSpell: (byte: number) => boolean): Network => {
  const network = new Builder(canSpell).build(grammar)
  measure(network)
  refuseLeftRecursion(network)
  const distance = network.nodes[network.rules[network.root]!.start]!.distance
  if (!Number.isFinite(distance)) {
    throw new FormatProblem("no finite text fits it that the model's tokenizer can spell")
  }
  return network
}
