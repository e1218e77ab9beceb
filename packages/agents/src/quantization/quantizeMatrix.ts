/**
 * The boundary from floats to few bits: a matrix in blocks of 32 with 4 or 8 bits, or in columns with 8 bits.
 */

/** Weights that share a scale: what MatMulNBits has the fastest kernels for, and what GGUF's q4_0 has. */
export const BLOCK = 32

/** A matrix of `k` rows and `n` columns; `isTransposed` where it is stored column by column. */
export interface Matrix {
  readonly values: Float32Array
  readonly k: number
  readonly n: number
  readonly isTransposed: boolean
}

export interface BlockMatrix {
  /** [n, blocks, bytes of a block]: for 4 bits two weights a byte, the even one in the low half. */
  readonly packed: Uint8Array
  /** [n, blocks] */
  readonly scales: Float32Array
}

export interface ColumnMatrix {
  /** [k, n] */
  readonly whole: Int8Array
  /** [n] */
  readonly scales: Float32Array
}

/** How many steps to either side of the plain scale are tried. */
const SEARCH_STEPS = 9
/** How far apart they are, in units of the range: as in llama.cpp's make_qx_quants. */
const SEARCH_WIDTH = 0.1

/**
 * The scale with the smallest squared error of a block, for whole numbers from -half to half - 1.
 *
 * The plain scale puts the largest weight on -half exactly. Near it others round the rest better; for each, the best scale
 * for what it rounds to is `sum(w q) / sum(q q)`. (llama.cpp, ggml-quants.c, make_qx_quants.)
 */
const fitScale = (block: Float32Array, half: number): number => {
  let extreme = 0
  for (const value of block) if (Math.abs(value) > Math.abs(extreme)) extreme = value
  if (extreme === 0) return 0
  let best = 0
  let bestScale = extreme / -half
  for (let step = -SEARCH_STEPS; step <= SEARCH_STEPS; step++) {
    const inverse = -(half + SEARCH_WIDTH * step) / extreme
    let cross = 0
    let square = 0
    for (const value of block) {
      const whole = Math.max(-half, Math.min(half - 1, Math.round(value * inverse)))
      cross += value * whole
      square += whole * whole
    }
    // What the error shrinks by; the larger the better.
    const gain = square > 0 ? (cross * cross) / square : 0
    if (gain > best) {
      best = gain
      bestScale = cross / square
    }
  }
  return bestScale
}

/** Blocks along k for each column, with `bits` 4 or 8 and the middle (8 or 128) as zero. A short last block ends in zeros. */
export const quantizeBlocks = ({ isTransposed, k, n, values }: Matrix, bits: 4 | 8): BlockMatrix => {
  const blocks = Math.ceil(k / BLOCK)
  const half = bits === 4 ? 8 : 128
  const blockBytes = (BLOCK * bits) / 8
  const packed = new Uint8Array(n * blocks * blockBytes)
  const scales = new Float32Array(n * blocks)
  const [rowStep, columnStep] = isTransposed ? [1, k] : [n, 1]
  const block = new Float32Array(BLOCK)
  // Blocks outside, columns inside: what is read at once lies in 32 rows.
  for (let at = 0; at < blocks; at++) {
    const length = Math.min(BLOCK, k - at * BLOCK)
    for (let column = 0; column < n; column++) {
      block.fill(0)
      const from = at * BLOCK * rowStep + column * columnStep
      for (let index = 0; index < length; index++) block[index] = values[from + index * rowStep]!
      const place = column * blocks + at
      const scale = Math.fround(bits === 4 ? fitScale(block, half) : plainScale(block, half))
      scales[place] = scale
      const inverse = scale === 0 ? 0 : 1 / scale
      for (let index = 0; index < BLOCK; index++) {
        const whole = Math.max(0, Math.min(2 * half - 1, Math.round(block[index]! * inverse) + half))
        if (bits === 8) packed[place * blockBytes + index] = whole
        else packed[place * blockBytes + (index >> 1)]! |= index % 2 === 0 ? whole : whole << 4
      }
    }
  }
  return { packed, scales }
}

/** With 8 bits a search gains nothing that a text would show. */
const plainScale = (block: Float32Array, half: number): number => {
  let largest = 0
  for (const value of block) largest = Math.max(largest, Math.abs(value))
  return largest / (half - 1)
}

/** Whole numbers from -limit to limit, with one scale for each column. */
export const quantizeColumns = ({ isTransposed, k, n, values }: Matrix, limit: number): ColumnMatrix => {
  const whole = new Int8Array(k * n)
  const scales = new Float32Array(n)
  const [rowStep, columnStep] = isTransposed ? [1, k] : [n, 1]
  for (let row = 0; row < k; row++) {
    for (let column = 0; column < n; column++) {
      const size = Math.abs(values[row * rowStep + column * columnStep]!)
      if (size > scales[column]!) scales[column] = size
    }
  }
  for (let column = 0; column < n; column++) scales[column] = scales[column]! === 0 ? 1 : scales[column]! / limit
  for (let row = 0; row < k; row++) {
    for (let column = 0; column < n; column++) {
      whole[row * n + column] = Math.round(values[row * rowStep + column * columnStep]! / scales[column]!)
    }
  }
  return { whole, scales }
}
