/** Signals that end a process: what is open is closed, within a bound, and the process ends as it would have. */
import { Pontoon } from "@pontoon/runtime"
import { MemoryStore } from "@pontoon/runtime/testing"
import { afterEach, describe, expect, it, vi } from "vitest"
import { closeOnSignals, type SignalOptions, type SignalProcess } from "../src/closeOnSignals.ts"
import { Counter } from "./support/actors.ts"

type Listener = (signal: NodeJS.Signals) => void

/** A process that only remembers what was done to it. */
class FakeProcess implements SignalProcess {
  readonly pid = 7
  readonly did: Array<string> = []
  seconds = 100
  readonly #listeners = new Map<string, Set<Listener>>()

  readonly on = (signal: NodeJS.Signals, listener: Listener) =>
    this.#listeners.set(signal, (this.#listeners.get(signal) ?? new Set()).add(listener))
  readonly off = (signal: NodeJS.Signals, listener: Listener) => this.#listeners.get(signal)?.delete(listener)
  readonly listenerCount = (signal: NodeJS.Signals) => this.#listeners.get(signal)?.size ?? 0
  readonly kill = (pid: number, signal: NodeJS.Signals) => this.did.push(`kill ${pid} ${signal}`)
  readonly exit = (code: number) => this.did.push(`exit ${code}`)
  readonly uptime = () => this.seconds

  get listening(): number {
    return [...this.#listeners.values()].reduce((sum, { size }) => sum + size, 0)
  }

  signal(signal: NodeJS.Signals): void {
    for (const listener of [...(this.#listeners.get(signal) ?? [])]) listener(signal)
  }
}

/** Listens with a `close` that the test ends. */
const listening = (options: SignalOptions = {}) => {
  const host = new FakeProcess()
  const closed = Promise.withResolvers<void>()
  let closes = 0
  const remove = closeOnSignals(
    {
      ...options,
      close: () => {
        closes++
        return closed.promise
      },
    },
    host,
  )
  return { host, remove, closed, closes: () => closes }
}

/** Lets promises settle. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

afterEach(() => void vi.useRealTimers())

describe("1 listening", () => {
  it.each<readonly [SignalOptions, string]>([
    [{ signals: [] }, "signals is empty; name at least one, or leave it out for SIGTERM and SIGINT"],
    [{ signals: ["SIGKILL"] }, "SIGKILL cannot be listened to by any process"],
    [{ closeMsMax: -1 }, "closeMsMax must be a whole number, 0 or more, and is -1"],
    [{ exitCode: 256 }, "exitCode must be a whole number from 0 to 255, and is 256"],
  ])("1.1 refuses %j", async (options, why) => {
    expect(() => listening(options)).toThrow(`Signals cannot be waited for: ${why}.`)
    const opening = Pontoon.open({ store: MemoryStore.layer, actors: [Counter], closeOnSignals: options })
    await expect(opening).rejects.toThrow(why)
  })
  it("1.2 closes once, and ends the process by the signal that it got", async () => {
    const { closed, closes, host } = listening()
    expect(host.listening).toBe(2)
    host.signal("SIGTERM")
    await settle()
    expect([closes(), host.did]).toEqual([1, []])
    closed.resolve()
    await settle()
    expect([host.did, host.listening]).toEqual([["kill 7 SIGTERM"], 0])
  })
  it("1.3 ends the process also where closing fails", async () => {
    const { closed, host } = listening()
    host.signal("SIGINT")
    closed.reject(new Error("no disk"))
    await settle()
    expect(host.did).toEqual(["kill 7 SIGINT"])
  })
  it("1.4 leaves the end to others who listen, and to an exit code that was asked for", async () => {
    const beside = listening()
    beside.host.on("SIGTERM", () => {})
    beside.host.signal("SIGTERM")
    beside.closed.resolve()
    await settle()
    expect([beside.host.did, beside.host.listening]).toEqual([[], 1])
    const asked = listening({ exitCode: 3 })
    asked.host.on("SIGTERM", () => {})
    asked.host.signal("SIGTERM")
    asked.closed.resolve()
    await settle()
    expect(asked.host.did).toEqual(["exit 3"])
  })
  it("1.5 a second signal ends it at once; the same one, forwarded within a moment, is the first", async () => {
    const { host } = listening()
    host.signal("SIGINT")
    host.seconds += 0.2
    host.signal("SIGINT")
    expect(host.did).toEqual([])
    host.seconds += 0.2
    host.signal("SIGTERM")
    expect(host.did).toEqual(["kill 7 SIGTERM"])
    const beside = listening()
    beside.host.on("SIGINT", () => {})
    beside.host.signal("SIGINT")
    beside.host.seconds++
    beside.host.signal("SIGINT")
    expect(beside.host.did).toEqual(["exit 130"])
  })
  it("1.6 waits no longer than closeMsMax", () => {
    vi.useFakeTimers()
    const { host } = listening({ closeMsMax: 1_000 })
    host.signal("SIGTERM")
    vi.advanceTimersByTime(999)
    expect(host.did).toEqual([])
    vi.advanceTimersByTime(1)
    expect(host.did).toEqual(["kill 7 SIGTERM"])
  })
  it("1.7 listens no more once it is taken away, or a Pontoon is closed", async () => {
    const { closes, host, remove } = listening()
    remove()
    host.signal("SIGTERM")
    expect([closes(), host.listening]).toEqual([0, 0])
    const count = () => process.listenerCount("SIGTERM") + process.listenerCount("SIGINT")
    const before = count()
    const pontoon = await Pontoon.open({ store: MemoryStore.layer, actors: [Counter], closeOnSignals: true })
    expect(count()).toBe(before + 2)
    await pontoon.close()
    expect(count()).toBe(before)
    const quiet = await Pontoon.open({ store: MemoryStore.layer, actors: [Counter] })
    expect(count()).toBe(before)
    await quiet.close()
  })
})
