/**
 * The boundary to a write-ahead log that has become too large: while a reader keeps a transaction open, what was written
 * since cannot be taken out of the log, and it grows with every commit; and an owner that is killed meanwhile leaves all of
 * it to the next one. Nothing is refused for it; it is said, and when the reader has gone the log is made small again
 * without the loop standing still for it.
 */

/** Pages in the log, and how many of them are in the database. */
export interface WalState {
  readonly log: number
  readonly checkpointed: number
}

export interface WalPorts {
  /** Takes 3 us. */
  readonly look: () => WalState
  /** Has a thread copy what it can; it does not wait. */
  readonly copy: () => void
  /** Copies the rest and empties the file; false where somebody reads in it. */
  readonly truncate: () => boolean
  /** The log is small, and commits copy it by themselves again. */
  readonly rest: () => void
  /** The log is past its limit, or small again. */
  readonly setOver: (isOver: boolean) => void
  /** The owner before left a log behind that is too large to be copied on the loop. */
  readonly inherited: (state: WalState) => void
  readonly now: () => number
  readonly later: (then: () => void, delayMs: number) => () => void
}

/** Between two looks, in milliseconds: at 100 MB written a second, the limit is passed by so much before it is said. */
export const LOOK_EVERY_MS = 1_000

/** Pages that may be copied on the loop when the file is emptied, 16 MB: some 10 ms, once. */
export const REST_PAGES_MAX = 4_000

export interface WalGuard {
  /** To be called after each flush. */
  readonly flushed: () => void
  readonly stop: () => void
}

/**
 * Past 24 MB a thread helps, said or not: it is more than commits let it grow to, or a thread that checkpoints anyway, so a
 * reader holds it back, and when that one goes the next commit would copy all of it on the loop.
 */
export const HELP_PAGES = 6_000

/** @param pagesMax pages in the log past which it is said; what is found at the beginning is made small from 16 MB on */
export const makeWalGuard = (pagesMax: number, ports: WalPorts): WalGuard => {
  let nextLookMs = 0
  let isHelping = false
  let isSaid = false
  let takeBack: (() => void) | undefined

  const shrink = ({ log, checkpointed }: WalState): void => {
    if (log - checkpointed <= REST_PAGES_MAX && ports.truncate()) {
      isHelping = false
      ports.rest()
      if (isSaid) ports.setOver(false)
      isSaid = false
      return
    }
    ports.copy()
    // Without traffic too: a log that nobody writes to any more should not stay large.
    takeBack ??= ports.later(() => {
      takeBack = undefined
      visit()
    }, LOOK_EVERY_MS)
  }

  const visit = (isFirst = false): void => {
    nextLookMs = ports.now() + LOOK_EVERY_MS
    try {
      const state = ports.look()
      if (isFirst && state.log > REST_PAGES_MAX) {
        isSaid = true
        ports.inherited(state)
      } else if (!isSaid && state.log > pagesMax) {
        isSaid = true
        ports.setOver(true)
      }
      isHelping ||= isSaid || state.log > HELP_PAGES
      if (isHelping) shrink(state)
    } catch {
      // A disk in trouble: the commits that meet it say so, and the next look tries again.
    }
  }
  visit(true)

  return {
    flushed: () => {
      if (ports.now() >= nextLookMs) visit()
    },
    stop: () => {
      nextLookMs = Number.POSITIVE_INFINITY
      takeBack?.()
    },
  }
}
