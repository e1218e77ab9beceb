/**
 * The boundary between a text and a picture of it: digits of a bitmap font, black on white, as a camera would see a sign.
 */
const FONT: Readonly<Record<string, ReadonlyArray<string>>> = {
  "0": ["01110", "10001", "10001", "10001", "10001", "10001", "01110"],
  "1": ["00100", "01100", "00100", "00100", "00100", "00100", "01110"],
  "2": ["01110", "10001", "00001", "00010", "00100", "01000", "11111"],
  "3": ["11111", "00010", "00100", "00010", "00001", "10001", "01110"],
  "4": ["00010", "00110", "01010", "10010", "11111", "00010", "00010"],
  "5": ["11111", "10000", "11110", "00001", "00001", "10001", "01110"],
  "6": ["00110", "01000", "10000", "11110", "10001", "10001", "01110"],
  "7": ["11111", "00001", "00010", "00100", "01000", "01000", "01000"],
  "8": ["01110", "10001", "10001", "01110", "10001", "10001", "01110"],
  "9": ["01110", "10001", "10001", "01111", "00001", "00010", "01100"],
}

export interface Picture {
  readonly width: number
  readonly height: number
  /** Row-major, 0 black to 1 white. */
  readonly pixels: Float32Array
}

/** Draws digits with their upper left corner at (left, top); a digit is 5 by 7 dots of `dot` pixels, and a gap of one. */
export const drawDigits = (
  text: string,
  place: { readonly width: number; readonly height: number; readonly left: number; readonly top: number },
  dot: number,
): Picture => {
  const { height, left, top, width } = place
  const pixels = new Float32Array(width * height).fill(1)
  for (const [index, digit] of [...text].entries()) {
    for (const [row, dots] of (FONT[digit] ?? []).entries()) {
      for (const [column, set] of [...dots].entries()) {
        if (set === "0") continue
        for (let y = 0; y < dot; y++) {
          const start = (top + row * dot + y) * width + left + (6 * index + column) * dot
          pixels.fill(0, start, start + dot)
        }
      }
    }
  }
  return { width, height, pixels }
}

/** A line of digits as recognisers want it: 48 pixels high, as wide as it has to be. */
export const drawLine = (text: string, width = 16 + 30 * text.length): Picture =>
  drawDigits(text, { width, height: 48, left: 8, top: 6 }, 5)

/** [1, 3, height, width], each channel shifted and scaled as the model was trained. */
export const asChannels = (
  { height, pixels, width }: Picture,
  mean: ReadonlyArray<number>,
  deviation: ReadonlyArray<number>,
) => {
  const data = new Float32Array(3 * pixels.length)
  for (let channel = 0; channel < 3; channel++) {
    pixels.forEach((value, at) => {
      data[channel * pixels.length + at] = (value - mean[channel]!) / deviation[channel]!
    })
  }
  return { type: "float32", dims: [1, 3, height, width], data } as const
}
