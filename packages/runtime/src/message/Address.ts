/**
 * The boundary between names and actors: an address is the only way to speak of an actor, alive or not.
 *
 * An actor is named by its type (the definition it was made from) and an id (which one). The written form is
 * `type/id`; the type may not hold a slash, the id may.
 */
import { Schema } from "effect"

/** Long enough for a UUID, an e-mail address or a URL path; short enough to stay cheap in every index. */
export const ID_LENGTH_MAX = 256

const TYPE_PATTERN = /^[a-z][a-z0-9-]{0,63}$/
// An id is printed in logs and shells, so control characters are refused.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this pattern keeps out
const ID_PATTERN = /^[^\u0000-\u001f\u007f]+$/

/** The name of one actor: `type` is kebab-case (at most 64 characters), `id` is 1 to 256 printable characters. */
export const Address = Schema.Struct({
  type: Schema.String.check(Schema.isPattern(TYPE_PATTERN)),
  id: Schema.String.check(Schema.isPattern(ID_PATTERN), Schema.isMaxLength(ID_LENGTH_MAX)),
})
export interface Address {
  readonly type: string
  readonly id: string
}

/** Whether an id can be one; quicker than the schema, and asked with every ref that is made. */
export const isAddressId = (id: string): boolean => id.length <= ID_LENGTH_MAX && ID_PATTERN.test(id)

/** The written form, `type/id`; also the key of an actor in every map. */
export const formatAddress = (address: Address): string => `${address.type}/${address.id}`

/** Reads the written form back; `undefined` where it is not one. */
export const parseAddress = (text: string): Address | undefined => {
  const slash = text.indexOf("/")
  if (slash <= 0 || slash === text.length - 1) return undefined
  return { type: text.slice(0, slash), id: text.slice(slash + 1) }
}
