/**
 * The boundary between speculation and the clock: whether rounds of a draft give tokens faster than plain steps, as measured on
 * the answers themselves. It changes how long an answer takes, never what it says. Pure but for what it remembers.
 */

/** A way is looked at for this many rounds. */
const TRIAL_ROUNDS = 8
/**
 * The way that lost is looked at again after so many rounds of the other, first after a few, for the first rounds of all are
 * slow, then ever more seldom while it goes on to lose. Answers differ in how well they are guessed; a look at a way that is
 * twice as slow costs a thirtieth of the longest span.
 */
const RUN_ROUNDS = { first: 16, most: 256 }
/** Least weight of the newest measurement: about the last twenty count; the first ones all count alike. */
const NEWEST = 0.1

interface Pace {
  readonly rounds: number
  /** Moving averages of one round. */
  readonly roundMs: number
  readonly tokens: number
}

const NO_PACE: Pace = { rounds: 0, roundMs: 0, tokens: 0 }

const average = (pace: Pace, roundMs: number, tokens: number): Pace => {
  const rounds = pace.rounds + 1
  const weight = Math.max(NEWEST, 1 / rounds)
  return {
    rounds,
    roundMs: pace.roundMs + weight * (roundMs - pace.roundMs),
    tokens: pace.tokens + weight * (tokens - pace.tokens),
  }
}

/** Whether `a` gives more tokens in a time; without dividing by a time of 0. */
const isFaster = (a: Pace, b: Pace): boolean => a.tokens * b.roundMs > b.tokens * a.roundMs

export class SpeculationSwitch {
  #plain = NO_PACE
  #draft = NO_PACE
  #speculates = false
  /** Whether the present way is only being looked at. */
  #trial = true
  #left = TRIAL_ROUNDS
  #runRounds = RUN_ROUNDS.first

  /** Whether the next round is to be one of the draft. */
  get speculates(): boolean {
    return this.#speculates
  }

  /** Notes a round: a plain step, which gives one token, or one of the draft, which gives at least one. */
  note(speculated: boolean, tokens: number, roundMs: number): void {
    if (speculated) this.#draft = average(this.#draft, roundMs, tokens)
    else this.#plain = average(this.#plain, roundMs, tokens)
    // An answer's last round may have nothing to guess.
    if (speculated !== this.#speculates || --this.#left > 0) return
    if (this.#trial && this.#draft.rounds > 0) this.#run()
    else this.#look()
  }

  /** Goes on with the faster way. */
  #run(): void {
    const faster = isFaster(this.#draft, this.#plain)
    const lostAgain = faster !== this.#speculates
    this.#runRounds = lostAgain ? Math.min(2 * this.#runRounds, RUN_ROUNDS.most) : RUN_ROUNDS.first
    this.#speculates = faster
    this.#trial = false
    this.#left = this.#runRounds
  }

  /** Looks at the other way, as if for the first time. */
  #look(): void {
    this.#speculates = !this.#speculates
    if (this.#speculates) this.#draft = NO_PACE
    else this.#plain = NO_PACE
    this.#trial = true
    this.#left = TRIAL_ROUNDS
  }
}
