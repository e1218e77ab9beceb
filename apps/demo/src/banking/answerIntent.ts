/** The boundary between the intent model's guess and what the banking desk says: text, intent and confidence together. */
import { helpTexts, intentInWords, isBankingIntent } from "./helpTexts.ts"

/**
 * Below it the desk says that it is guessing. With 77 classes a right answer is seldom this unsure; where exactly the
 * line lies matters little, since the help text is given either way.
 */
export const CONFIDENCE_MIN = 0.5

export interface BankingAnswer {
  readonly intent: string
  /** From 0 to 1, the model's own probability. */
  readonly confidence: number
  readonly text: string
}

/** An intent outside the 77 (another model, an older label file) is answered too: with a way to a person. */
export const answerIntent = (intent: string, confidence: number): BankingAnswer => {
  const percent = `${Math.round(confidence * 100)} %`
  if (!isBankingIntent(intent)) {
    return {
      intent,
      confidence,
      text: `I am passing this on to a person: I have no help text for "${intent}" (${percent}).`,
    }
  }
  const lead = confidence < CONFIDENCE_MIN ? `I think this is about "${intentInWords(intent)}". ` : ""
  return { intent, confidence, text: `${lead}${helpTexts[intent]} (${intent}, ${percent})` }
}
