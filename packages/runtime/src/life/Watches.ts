/**
 * The boundary between handlers that want to hear of the end of others and the log of who does. What a handler watches is
 * written with its seal; until then a place is held for it, so that the bounds are exact however many watch at once.
 */
import { Effect } from "effect"
import type { Ref } from "../actor/Ref.ts"
import type { AnyTask } from "../actor/Task.ts"
import { type Address, formatAddress } from "../message/Address.ts"
import { TerminalWatchRefused } from "../message/DeliveryFailure.ts"
import type { MessageStore, WatchRow } from "../ports/MessageStore.ts"
import type { DropWatch, PutWatch } from "../ports/Write.ts"
import type { LiveMessage } from "./LiveMessage.ts"

/**
 * Watchers of one actor, and watches of one: all who watch are told in the commit of the end, which takes some 20 ms then.
 * Whoever has more to tell has a topic.
 */
export const WATCHES_MAX = 1_000

/** What one attempt watches, and no longer watches, when it is sealed; in the order of its acts. */
export interface Watching {
  readonly writes: Array<PutWatch | DropWatch>
  /** Places that are held; see `Watches`. */
  readonly held: Array<string>
}

/** What is used of a system. */
export interface WatchedSystem {
  readonly store: Pick<MessageStore["Service"], "watches">
  readonly actors: ReadonlyMap<string, unknown>
  readonly now: () => number
}

export class Watches {
  readonly #system: WatchedSystem
  /** Places held for watches that are on their way into the log, by whose they are. */
  readonly #held = new Map<string, number>()

  constructor(system: WatchedSystem) {
    this.#system = system
  }

  /** Notes that the actor of `message` watches `ref`; with `linked`, that both watch each other and fall together. */
  readonly watch = Effect.fnUntraced(function* (
    this: Watches,
    { cell }: LiveMessage,
    watching: Watching,
    ref: Ref<AnyTask>,
    linked: boolean,
  ) {
    const watched = { type: ref.type, id: ref.id }
    const why = whyNot(this.#system, cell.key, ref, linked || cell.actor.tasks.has("Terminated"))
    if (why !== undefined) return yield* refused(cell.key, formatAddress(watched), why)
    yield* this.#put(watching, watched, cell.address, linked, this.#system.now())
    if (linked) yield* this.#put(watching, cell.address, watched, linked, this.#system.now())
  })

  readonly #put = Effect.fnUntraced(function* (
    this: Watches,
    watching: Watching,
    watched: Address,
    watcher: Address,
    linked: boolean,
    atMs: number,
  ) {
    const [watchedKey, watcherKey] = [formatAddress(watched), formatAddress(watcher)]
    const places = [`watched ${watchedKey}`, `watcher ${watcherKey}`]
    // Held before the log is read: of two that come at once, each counts the other.
    for (const place of places) this.#hold(place, watching)
    const watchers = yield* this.#system.store.watches({ watched }, WATCHES_MAX)
    const watches = yield* this.#system.store.watches({ watcher }, WATCHES_MAX)
    const isNew = !watchers.some((row) => formatAddress(row.watcher) === watcherKey)
    const over = [watchers, watches].findIndex(
      (rows, index) => rows.length + (this.#held.get(places[index] ?? "") ?? 0) > WATCHES_MAX,
    )
    if (isNew && over >= 0) {
      // At once, or those that are refused would stand in each other's way until their handlers end.
      for (const place of places) this.#giveUp(place, watching)
      const why =
        over === 0
          ? `${watchedKey} has ${WATCHES_MAX} watchers, as many as an actor may have; let it publish to a topic`
          : `${watcherKey} watches ${WATCHES_MAX} actors, as many as one may; unwatch some, or share them among several`
      return yield* refused(watcherKey, watchedKey, why)
    }
    watching.writes.push({ _tag: "PutWatch", watched, watcher, linked, atMs })
  })

  /** Notes that the actor of `message` does not watch `ref` any more; a link ends on both sides. */
  readonly unwatch = Effect.fnUntraced(function* (
    this: Watches,
    { cell }: LiveMessage,
    watching: Watching,
    ref: Ref<AnyTask>,
  ) {
    const watcher = cell.address
    const watched = { type: ref.type, id: ref.id }
    const key = formatAddress(watched)
    const rows: ReadonlyArray<WatchRow> = yield* this.#system.store.watches({ watcher }, WATCHES_MAX)
    const noted = watching.writes.filter((write) => write._tag === "PutWatch")
    const linked = [...rows, ...noted].some(
      (row) =>
        row.linked && formatAddress(row.watched) === key && formatAddress(row.watcher) === formatAddress(watcher),
    )
    watching.writes.push({ _tag: "DropWatch", watched, watcher })
    if (linked) watching.writes.push({ _tag: "DropWatch", watched: watcher, watcher: watched })
  })

  #hold(place: string, watching: Watching): void {
    watching.held.push(place)
    this.#held.set(place, (this.#held.get(place) ?? 0) + 1)
  }

  #giveUp(place: string, { held }: Watching): void {
    held.splice(held.lastIndexOf(place), 1)
    const left = (this.#held.get(place) ?? 0) - 1
    if (left > 0) this.#held.set(place, left)
    else this.#held.delete(place)
  }

  /** The attempt is over: what it watches is in the log, or will not be. */
  release(watching: Watching): void {
    for (const place of [...watching.held]) this.#giveUp(place, watching)
  }
}

const refused = (watcher: string, watched: string, why: string) =>
  new TerminalWatchRefused({ watcher, watched, message: `${watcher} cannot watch ${watched}: ${why}.` })

const whyNot = (system: WatchedSystem, watcher: string, ref: Ref<AnyTask>, mayBeTold: boolean): string | undefined => {
  if (ref.kind === "pool") return "it is a pool, which does not end; watch its targets"
  if (!system.actors.has(ref.type)) return `the system has no actor ${ref.type}`
  if (formatAddress(ref) === watcher) return "nobody hears of its own end"
  return mayBeTold ? undefined : "it would be told by the task Terminated, which is not in its protocol; add it"
}
