/**
 * The boundary between a network and a text that grows: which bytes may come next, whether it may end here, and what its
 * shortest completion is.
 *
 * A state is a set of places in the network, each with the calls that it has to return from. States are made when they are
 * first reached and kept, so that matching a text that resembles an earlier one is one lookup a byte. What is kept is
 * bounded: past `STATES_MAX` all of it is forgotten and made anew.
 */
import type { Network } from "./Network.ts"

/** A bound of memory: each that is used keeps a mask over the vocabulary. */
export const STATES_MAX = 8_192

/** Calls deeper than this are only followed where the shortest completion needs them: arrays in arrays end there. */
export const DEPTH_MAX = 64

/** Places of a state past this are dropped: the language gets smaller, and never wrong. Unambiguous grammars need ten. */
export const PLACES_MAX = 2_048

/** A call that has not returned. */
interface Frame {
  readonly id: number
  readonly to: number
  readonly parent: Frame | undefined
  readonly depth: number
  /** Bytes from the return to the end of the whole at least. */
  readonly distance: number
}

interface Place {
  readonly node: number
  readonly frame: Frame | undefined
}

export interface State {
  readonly places: ReadonlyArray<Place>
  /** Whether the text may end here. */
  readonly accepts: boolean
  /** Bytes that it takes at least to complete the text. */
  readonly distance: number
  /** By byte; null where it cannot come, undefined where that is not known yet. */
  readonly next: Array<State | null | undefined>
  /** Kept by `TokenMask`: a bit for each token that may come next. */
  mask: Uint32Array | undefined
}

export class Automaton {
  readonly start: State
  readonly #network: Network
  #states = new Map<string, State>()
  #frames = new Map<string, Frame>()
  #frameIds = 0

  constructor(network: Network) {
    this.#network = network
    const root = network.rules[network.root]!
    const start = this.#close([{ node: root.start, frame: undefined }])
    if (start === null) throw new Error("a network without a way to its end; buildNetwork refuses those")
    this.start = start
  }

  /** The state after one more byte; null where it cannot come. */
  step(state: State, byte: number): State | null {
    const known = state.next[byte]
    if (known !== undefined) return known
    const reached: Array<Place> = []
    for (const { frame, node } of state.places) {
      for (const { range, to } of this.#network.nodes[node]!.bytes) {
        if (range[0] <= byte && byte <= range[1]) reached.push({ node: to, frame })
      }
    }
    const next = reached.length === 0 ? null : this.#close(reached)
    state.next[byte] = next
    return next
  }

  /**
   * The bytes of the shortest completion, of equally short ones the first. What is left of it after some of its bytes is the
   * shortest completion there. Undefined where places of it were dropped (`PLACES_MAX`).
   */
  completion(from: State): ReadonlyArray<number> | undefined {
    const bytes: Array<number> = []
    for (let state = from; state.distance > 0; ) {
      const best = this.#closer(state)
      if (best === undefined) return undefined
      bytes.push(best.byte)
      state = best.state
    }
    return bytes
  }

  #closer(state: State): { readonly byte: number; readonly state: State } | undefined {
    const candidates = new Set<number>()
    for (const { frame, node } of state.places) {
      for (const { range, to } of this.#network.nodes[node]!.bytes) {
        const distance = this.#network.nodes[to]!.distance + (frame?.distance ?? 0)
        if (distance === state.distance - 1) candidates.add(range[0])
      }
    }
    for (const byte of [...candidates].sort((a, b) => a - b)) {
      const next = this.step(state, byte)
      if (next !== null && next.distance === state.distance - 1) return { byte, state: next }
    }
    return undefined
  }

  #frame(to: number, parent: Frame | undefined): Frame {
    const key = `${to} ${parent?.id ?? -1}`
    const known = this.#frames.get(key)
    if (known !== undefined) return known
    const distance = this.#network.nodes[to]!.distance + (parent?.distance ?? 0)
    const frame = { id: this.#frameIds++, to, parent, depth: (parent?.depth ?? 0) + 1, distance }
    this.#frames.set(key, frame)
    return frame
  }

  /** Follows what costs no byte. */
  #close(reached: ReadonlyArray<Place>): State | null {
    const { nodes, rules } = this.#network
    const places: Array<Place> = []
    const seen = new Set<string>()
    let accepts = false
    let least = Number.POSITIVE_INFINITY
    const open: Array<Place> = []
    const visit = (node: number, frame: Frame | undefined) => {
      if (Number.isFinite(nodes[node]!.distance)) open.push({ node, frame })
    }
    for (const { frame, node } of reached) visit(node, frame)
    for (let place = open.pop(); place !== undefined && places.length < PLACES_MAX; place = open.pop()) {
      const { frame, node: at } = place
      const key = `${at} ${frame?.id ?? -1}`
      if (seen.has(key)) continue
      seen.add(key)
      const node = nodes[at]!
      const distance = node.distance + (frame?.distance ?? 0)
      if (node.bytes.length > 0) {
        places.push(place)
        least = Math.min(least, distance)
      }
      if (isEnd(node)) {
        if (frame === undefined) accepts = true
        else visit(frame.to, frame.parent)
      }
      for (const to of node.empty) visit(to, frame)
      for (const { rule, to } of node.calls) {
        const { start } = rules[rule]!
        const shortest = nodes[start]!.distance + nodes[to]!.distance === node.distance
        if ((frame?.depth ?? 0) >= DEPTH_MAX && !shortest) continue
        // Nothing is left to do after the return: the caller's own return will do. So repetition by recursion stays flat.
        visit(start, isEnd(nodes[to]!) ? frame : this.#frame(to, frame))
      }
    }
    if (places.length === 0 && !accepts) return null
    return this.#intern(places, accepts, accepts ? 0 : least)
  }

  #intern(places: ReadonlyArray<Place>, accepts: boolean, distance: number): State {
    const sorted = [...places].sort((a, b) => a.node - b.node || (a.frame?.id ?? -1) - (b.frame?.id ?? -1))
    const key = `${accepts}|${sorted.map(({ frame, node }) => `${node} ${frame?.id ?? -1}`).join()}`
    const known = this.#states.get(key)
    if (known !== undefined) return known
    if (this.#states.size === STATES_MAX) {
      this.#states = new Map()
      this.#frames = new Map()
    }
    const state: State = { places: sorted, accepts, distance, next: new Array(256), mask: undefined }
    this.#states.set(key, state)
    return state
  }
}

/** Only the end of a rule leads nowhere. */
const isEnd = (node: Network["nodes"][number]): boolean =>
  node.bytes.length + node.empty.length + node.calls.length === 0
