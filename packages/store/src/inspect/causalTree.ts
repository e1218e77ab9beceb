/** The boundary between a conversation's messages and their tree: who caused whom, in the order of acceptance. */
import type { MessageRow } from "@pontoon/runtime"

export interface TreeNode {
  readonly message: MessageRow
  /** How many causes it has within the tree. */
  readonly depth: number
}

/**
 * The messages in the order of a walk: each behind its cause, brothers by seq. A message whose cause is not among them is
 * a root, and so is one of a circle, should somebody have written one by hand.
 */
export const causalTree = (messages: ReadonlyArray<MessageRow>): ReadonlyArray<TreeNode> => {
  const bySeq = [...messages].sort((a, b) => a.seq - b.seq)
  const known = new Set(bySeq.map(({ id }) => id))
  const children = new Map<string, Array<MessageRow>>()
  const roots: Array<MessageRow> = []
  for (const message of bySeq) {
    const cause = message.causationId
    if (cause === null || !known.has(cause)) roots.push(message)
    else children.set(cause, [...(children.get(cause) ?? []), message])
  }
  const walked: Array<TreeNode> = []
  const seen = new Set<string>()
  const walk = (root: MessageRow): void => {
    // A stack, not recursion: a conversation may be as deep as its limit is long.
    const stack: Array<TreeNode> = [{ message: root, depth: 0 }]
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      if (seen.has(node.message.id)) continue
      seen.add(node.message.id)
      walked.push(node)
      const { depth } = node
      const next = children.get(node.message.id) ?? []
      stack.push(...next.map((message) => ({ message, depth: depth + 1 })).reverse())
    }
  }
  for (const root of roots) walk(root)
  for (const message of bySeq) if (!seen.has(message.id)) walk(message)
  return walked
}
