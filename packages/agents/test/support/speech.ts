/**
 * The boundary between numbers and sound: silence, noise, a tone, and vowels from a source and filter model of the voice
 * (Klatt 1980), at 16,000 samples a second.
 */
export const RATE_HZ = 16_000

const samples = (seconds: number, valueAt: (at: number) => number): Float32Array =>
  Float32Array.from({ length: Math.floor(RATE_HZ * seconds) }, (_, at) => valueAt(at))

/** Uniform, -1 to 1, the same each time (a linear congruential generator). */
const makeNoise = () => {
  let seed = 1
  return () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
    return (2 * seed) / 0x7fffffff - 1
  }
}

export const silence = (seconds: number) => samples(seconds, () => 0)
export const tone = (seconds: number, hertz: number) =>
  samples(seconds, (at) => 0.5 * Math.sin((2 * Math.PI * hertz * at) / RATE_HZ))
export const noise = (seconds: number, loudness: number) => {
  const next = makeNoise()
  return samples(seconds, () => loudness * next())
}

/** Frequency and bandwidth of the resonances, in hertz. */
type Formants = ReadonlyArray<readonly [number, number]>
const AH: Formants = [
  [730, 90],
  [1090, 110],
  [2440, 170],
  [3400, 250],
]
const EE: Formants = [
  [270, 60],
  [2290, 100],
  [3010, 170],
  [3700, 250],
]
const OO: Formants = [
  [300, 60],
  [870, 90],
  [2240, 150],
  [3300, 250],
]

const resonate = (source: Float32Array, [hertz, bandwidth]: Formants[number]): Float32Array => {
  const radius = Math.exp((-Math.PI * bandwidth) / RATE_HZ)
  const turn = 2 * radius * Math.cos((2 * Math.PI * hertz) / RATE_HZ)
  const heard = new Float32Array(source.length)
  source.forEach((value, at) => {
    heard[at] = (1 - turn + radius ** 2) * value + turn * (heard[at - 1] ?? 0) - radius ** 2 * (heard[at - 2] ?? 0)
  })
  return heard
}

/** Pulses of the glottis, falling in pitch with a little vibrato, through the resonances of a vowel. */
const vowel = (seconds: number, pitchHertz: number, formants: Formants): Float32Array => {
  const breath = makeNoise()
  const length = Math.floor(RATE_HZ * seconds)
  let phase = 0
  const source = samples(seconds, (at) => {
    const vibrato = 1 + 0.03 * Math.sin((2 * Math.PI * 5 * at) / RATE_HZ)
    phase += (pitchHertz * vibrato * (1 - (0.2 * at) / length)) / RATE_HZ
    const pulse = phase >= 1 ? 1 : 0
    phase -= pulse
    return pulse + 0.002 * breath()
  })
  const voice = formants.reduce(resonate, source)
  const loudest = voice.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  return voice.map((value, at) => (0.5 * Math.min(1, at / 800, (length - at) / 800) * value) / loudest)
}

export const joinSound = (...parts: ReadonlyArray<Float32Array>): Float32Array => {
  const joined = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}

/** Some 1.3 seconds that sound like somebody who speaks, and mean nothing. */
export const speak = (): Float32Array =>
  joinSound(
    ...[vowel(0.25, 130, AH), silence(0.03), vowel(0.2, 150, EE), noise(0.06, 0.05), vowel(0.25, 120, OO)],
    ...[vowel(0.2, 140, AH), silence(0.05), vowel(0.3, 110, EE)],
  )
