/** The boundary of how JSON is written: strings, numbers between bounds, separators. Compact, one blank at most. Pure. */
import {
  type CodeRange,
  charClass,
  choice,
  type Expression,
  FormatProblem,
  optional,
  repeat,
  sequence,
  text,
  tidyRanges,
} from "./Expression.ts"

const DIGIT = charClass([0x30, 0x39])
const HEX = charClass([0x30, 0x39], [0x41, 0x46], [0x61, 0x66])
/** Digits before and after the point: what a double holds exactly, and a model in a loop ends there. */
const DIGITS_MAX = 15
const INTEGER_MAX = 10 ** DIGITS_MAX - 1

/** Models have seen both `{"a": 1}` and `{"a":1}`. */
export const COMMA = sequence(text(","), optional(text(" ")))
export const COLON = sequence(text(":"), optional(text(" ")))

/** Characters that stand for themselves in a string; of the others, which have to be escaped. */
const PLAIN: ReadonlyArray<CodeRange> = [
  [0x20, 0x21],
  [0x23, 0x5b],
  [0x5d, 0x10ffff],
]
const ESCAPED: Readonly<Record<number, string>> = {
  8: "\\b",
  9: "\\t",
  10: "\\n",
  12: "\\f",
  13: "\\r",
  34: '\\"',
  92: "\\\\",
}

const intersect = (a: ReadonlyArray<CodeRange>, b: ReadonlyArray<CodeRange>): ReadonlyArray<CodeRange> =>
  a.flatMap(([low, high]) =>
    b.flatMap(([from, to]): ReadonlyArray<CodeRange> => {
      const first = Math.max(low, from)
      const last = Math.min(high, to)
      return first <= last ? [[first, last]] : []
    }),
  )

/** A set of characters inside a string: each as itself, or escaped where it has to be. */
export const spellInString = (ranges: ReadonlyArray<CodeRange>): Expression => {
  const tidy = tidyRanges(ranges)
  const parts: Array<Expression> = [{ kind: "class", ranges: intersect(tidy, PLAIN) }]
  for (const [low, high] of intersect(tidy, [
    [0, 0x1f],
    [0x22, 0x22],
    [0x5c, 0x5c],
  ])) {
    for (let code = low; code <= high; code++) {
      parts.push(text(ESCAPED[code] ?? `\\u${code.toString(16).padStart(4, "0")}`))
    }
  }
  return choice(...parts)
}

const ESCAPE = choice(
  sequence(
    text("\\"),
    charClass(...Array.from('"/\\bfnrt', (character): CodeRange => [character.charCodeAt(0), character.charCodeAt(0)])),
  ),
  sequence(text("\\u"), charClass([0x30, 0x39], [0x41, 0x43], [0x45, 0x46], [0x61, 0x63], [0x65, 0x66]), HEX, HEX, HEX),
  sequence(text("\\u"), charClass([0x44, 0x44], [0x64, 0x64]), charClass([0x30, 0x37]), HEX, HEX),
)

/** Any character of a string. Escapes of surrogates are left out: alone, they are no character. */
export const STRING_CHARACTER = choice({ kind: "class", ranges: PLAIN }, ESCAPE)

/**
 * A character that has the length 1 for everybody: JSON Schema counts code points, JavaScript UTF-16 units, and beyond U+FFFF
 * they differ. For strings of a bounded length.
 */
export const COUNTED_CHARACTER = choice({ kind: "class", ranges: intersect(PLAIN, [[0, 0xffff]]) }, ESCAPE)

/** The digits of `prefix` and then any of `count` more. */
const withDigits = (prefix: string, count: number): Expression =>
  count === 0 ? text(prefix) : sequence(text(prefix), repeat(DIGIT, count, count))

/** Whole numbers from `low` to `high` of the same number of digits, neither negative. */
const sameLength = (low: string, high: string): ReadonlyArray<Expression> => {
  if (low === high) return [text(low)]
  const [first] = low
  const [last] = high
  const rest = low.length - 1
  if (first === undefined || last === undefined) return [text("")]
  if (/^0*$/.test(low.slice(1)) && /^9*$/.test(high.slice(1))) {
    return [
      sequence(
        charClass([first.charCodeAt(0), last.charCodeAt(0)]),
        ...(rest === 0 ? [] : [repeat(DIGIT, rest, rest)]),
      ),
    ]
  }
  if (first === last) return [sequence(text(first), choice(...sameLength(low.slice(1), high.slice(1))))]
  const next = String(Number(first) + 1) + "0".repeat(rest)
  if (!/^0*$/.test(low.slice(1))) {
    return [sequence(text(first), choice(...sameLength(low.slice(1), "9".repeat(rest)))), ...sameLength(next, high)]
  }
  const before = String(Number(last) - 1) + "9".repeat(rest)
  return [...sameLength(low, before), sequence(text(last), choice(...sameLength("0".repeat(rest), high.slice(1))))]
}

/** Whole numbers from `low` to `high`, neither negative. */
const naturals = (low: number, high: number): ReadonlyArray<Expression> => {
  const parts: Array<Expression> = []
  for (let length = String(low).length; length <= String(high).length; length++) {
    const from = Math.max(low, length === 1 ? 0 : 10 ** (length - 1))
    const to = Math.min(high, 10 ** length - 1)
    if (from <= to) parts.push(...sameLength(String(from), String(to)))
  }
  return parts
}

export interface Bounds {
  readonly minimum: number
  readonly maximum: number
}

/** Whole numbers within the bounds, at most 15 digits. */
export const integerBetween = ({ maximum, minimum }: Bounds): Expression => {
  const low = Math.max(Math.ceil(minimum), -INTEGER_MAX)
  const high = Math.min(Math.floor(maximum), INTEGER_MAX)
  if (low > high) throw new FormatProblem(`no whole number lies between ${minimum} and ${maximum}`)
  const parts: Array<Expression> = high >= 0 ? [...naturals(Math.max(low, 0), high)] : []
  if (low < 0) parts.push(sequence(text("-"), choice(...naturals(Math.max(1, -high), -low))))
  return choice(...parts)
}

const FRACTION = sequence(text("."), repeat(DIGIT, 1, DIGITS_MAX))
const EXPONENT = sequence(
  charClass([0x45, 0x45], [0x65, 0x65]),
  optional(charClass([0x2b, 0x2b], [0x2d, 0x2d])),
  repeat(DIGIT, 1, 2),
)

/** Any number that a double can hold: 15 digits on each side of the point, an exponent of two. */
export const ANY_NUMBER = sequence(
  optional(text("-")),
  choice(text("0"), sequence(charClass([0x31, 0x39]), repeat(DIGIT, 0, DIGITS_MAX - 1))),
  optional(FRACTION),
  optional(EXPONENT),
)

/**
 * Numbers within the bounds, fractions included, no exponent. Between whole numbers: bounds are narrowed to those, so some that
 * would be allowed are never written.
 */
export const numberBetween = ({ maximum, minimum }: Bounds): Expression => {
  const low = Math.max(Math.ceil(minimum), -INTEGER_MAX)
  const high = Math.min(Math.floor(maximum), INTEGER_MAX)
  if (low > high) {
    throw new FormatProblem(
      `numbers between ${minimum} and ${maximum} cannot be written: bounds are narrowed to whole numbers, and none lies there`,
    )
  }
  const parts: Array<Expression> = [integerBetween({ minimum: low, maximum: high })]
  // A fraction leads away from 0, so it is written only where the next whole number is allowed too.
  if (high >= 1) parts.push(sequence(choice(...naturals(Math.max(low, 0), high - 1)), FRACTION))
  if (low <= -1) parts.push(sequence(text("-"), choice(...naturals(Math.max(0, -high), -low - 1)), FRACTION))
  return choice(...parts)
}

const quoted = (inside: Expression): Expression => sequence(text('"'), inside, text('"'))
const twoDigits = (low: number, high: number): Expression =>
  choice(...sameLength(String(low).padStart(2, "0"), String(high).padStart(2, "0")))
const DAY = choice(
  sequence(
    choice(text("01"), text("03"), text("05"), text("07"), text("08"), text("10"), text("12")),
    text("-"),
    twoDigits(1, 31),
  ),
  sequence(choice(text("04"), text("06"), text("09"), text("11")), text("-"), twoDigits(1, 30)),
  sequence(text("02-"), twoDigits(1, 28)),
)
const DATE = sequence(withDigits("", 4), text("-"), DAY)
const TIME = sequence(
  twoDigits(0, 23),
  text(":"),
  twoDigits(0, 59),
  text(":"),
  twoDigits(0, 59),
  optional(sequence(text("."), repeat(DIGIT, 1, 3))),
)
const ZONE = choice(
  text("Z"),
  sequence(charClass([0x2b, 0x2b], [0x2d, 0x2d]), twoDigits(0, 23), text(":"), twoDigits(0, 59)),
)
const hex = (count: number): Expression => repeat(HEX, count, count)
const LETTER_OR_DIGIT = charClass([0x30, 0x39], [0x61, 0x7a])
const LABEL = repeat(LETTER_OR_DIGIT, 1, 20)

/** Strings of a named format, quotes included. */
export const STRING_FORMATS: ReadonlyMap<string, Expression> = new Map([
  ["date", quoted(DATE)],
  ["time", quoted(sequence(TIME, ZONE))],
  ["date-time", quoted(sequence(DATE, text("T"), TIME, ZONE))],
  [
    "uuid",
    quoted(
      sequence(
        hex(8),
        text("-"),
        hex(4),
        text("-"),
        charClass([0x31, 0x38]),
        hex(3),
        text("-"),
        charClass([0x38, 0x39], [0x61, 0x62]),
        hex(3),
        text("-"),
        hex(12),
      ),
    ),
  ],
  [
    "email",
    quoted(
      sequence(
        LABEL,
        text("@"),
        LABEL,
        repeat(sequence(text("."), LABEL), 0, 2),
        text("."),
        repeat(charClass([0x61, 0x7a]), 2, 6),
      ),
    ),
  ],
  [
    "ipv4",
    quoted(
      sequence(
        ...[0, 1, 2, 3].flatMap((at) => [
          ...(at === 0 ? [] : [text(".")]),
          integerBetween({ minimum: 0, maximum: 255 }),
        ]),
      ),
    ),
  ],
])

export const stringOf = quoted
