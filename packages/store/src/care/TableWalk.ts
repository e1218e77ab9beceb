/**
 * The boundary of going through a table by its seq, a bounded part at a time: on to what has become old, and again over
 * what was kept, because what kept it may be gone.
 *
 * Going over all of it in every pass was what came first: a week of keyed messages was looked at every minute, which on a
 * busy log never ended.
 */

/** What one step may still do. */
export interface StepBudget {
  /** Rows to look at or delete. */
  rowsLeft: number
  readonly isSpent: () => boolean
}

/** Rows read at once: about what one step gets to. */
const PAGE = 50

export class TableWalk<Row extends { readonly seq: number }> {
  readonly #read: (afterSeq: number, limit: number) => ReadonlyArray<Row>
  readonly #againMax: number
  /** The last row that was looked at; all behind it is new. */
  #front = 0
  /** Where the front was when the pass began: what is before it is looked at again. */
  #frontBefore = 0
  /** The last row that was looked at again. */
  #again = 0
  #againLeft: number

  /**
   * @param read rows by ascending seq
   * @param againMax rows that are looked at again in one pass
   */
  constructor(read: (afterSeq: number, limit: number) => ReadonlyArray<Row>, againMax: number) {
    this.#read = read
    this.#againMax = againMax
    this.#againLeft = againMax
  }

  /** A pass is over; the next one goes on where it was. */
  endPass(): void {
    this.#frontBefore = this.#front
    this.#againLeft = this.#againMax
  }

  /**
   * @param isYoung whether the row, and so all behind it, need not be looked at yet
   * @param visit what is done about one; gives the rows that it deleted
   */
  go(budget: StepBudget, isYoung: (row: Row) => boolean, visit: (row: Row) => number): "more" | "done" {
    return this.#goOn(budget, isYoung, visit) === "more" ? "more" : this.#goAgain(budget, isYoung, visit)
  }

  #goOn(budget: StepBudget, isYoung: (row: Row) => boolean, visit: (row: Row) => number): "more" | "done" {
    for (;;) {
      const page = this.#read(this.#front, PAGE)
      for (const row of page) {
        if (budget.isSpent()) return "more"
        if (isYoung(row)) return "done"
        this.#front = row.seq
        budget.rowsLeft -= 1 + visit(row)
      }
      // With no row left for them, records of the last message may be.
      if (page.length < PAGE) return budget.rowsLeft > 0 ? "done" : "more"
    }
  }

  #goAgain(budget: StepBudget, isYoung: (row: Row) => boolean, visit: (row: Row) => number): "more" | "done" {
    while (this.#againLeft > 0 && this.#again < this.#frontBefore) {
      const page = this.#read(this.#again, PAGE)
      for (const row of page) {
        if (this.#againLeft <= 0) return "done"
        if (budget.isSpent()) return "more"
        if (row.seq > this.#frontBefore || isYoung(row)) return this.#endRound()
        this.#again = row.seq
        this.#againLeft--
        budget.rowsLeft -= 1 + visit(row)
      }
      if (page.length < PAGE) return this.#endRound()
    }
    if (this.#again >= this.#frontBefore) this.#endRound()
    return "done"
  }

  /** From the beginning in the next pass. */
  #endRound(): "done" {
    this.#again = 0
    this.#againLeft = 0
    return "done"
  }
}
