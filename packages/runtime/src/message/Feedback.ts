/**
 * The boundary to judgement: a score that somebody gives to a reply, as a signal for routing.
 */
export interface Feedback {
  readonly messageId: string
  /** From -1 (useless) to 1 (just right). */
  readonly score: number
  readonly label: string | null
  /** Who judges: a user, a rule, another actor. */
  readonly source: string
  readonly atMs: number
}
