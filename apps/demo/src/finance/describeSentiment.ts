/** The boundary between the sentiment model's label and what the finance desk says about a headline. */

/** In the order of the data set's labels: 0 bearish, 1 bullish, 2 neutral. */
export const SENTIMENTS = ["bearish", "bullish", "neutral"] as const
export type Sentiment = (typeof SENTIMENTS)[number]

/** The label column of the data set (`0`, `1`, `2`) or a name to a sentiment; `undefined` where it is neither. */
export const sentimentOf = (label: string): Sentiment | undefined =>
  SENTIMENTS.find((name, index) => label === name || label === String(index))

/** Below it the reading is called a tendency. Three classes: a third would be chance. */
export const CONFIDENCE_MIN = 0.6

/** A dollar sign and one to five letters, perhaps with a share class; `$50` is a sum. */
const TICKER = /\$[A-Za-z]{1,5}(?:\.[A-Za-z])?\b/g
/** More of them would make the answer longer than the headline. */
const TICKERS_MAX = 4

/** The tickers of a headline, in capitals, each once, in order. */
export const findTickers = (headline: string): ReadonlyArray<string> => [
  ...new Set((headline.match(TICKER) ?? []).map((ticker) => ticker.toUpperCase())),
]

const WORDS: Readonly<Record<Sentiment, string>> = {
  bearish: "bad news",
  bullish: "good news",
  neutral: "neither good nor bad news",
}

/** `Good news for $TSLA (bullish, 93 %).` */
export const describeSentiment = (headline: string, sentiment: Sentiment, confidence: number): string => {
  const tickers = findTickers(headline)
  const named = tickers.slice(0, TICKERS_MAX).join(", ") + (tickers.length > TICKERS_MAX ? " and others" : "")
  const words = confidence < CONFIDENCE_MIN ? `rather ${WORDS[sentiment]}` : WORDS[sentiment]
  const sentence = `${words}${named === "" ? "" : ` for ${named}`}`
  return `${sentence[0]!.toUpperCase()}${sentence.slice(1)} (${sentiment}, ${Math.round(confidence * 100)} %).`
}
