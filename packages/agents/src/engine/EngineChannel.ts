/**
 * The boundary to what runs an engine, a process or a thread: starts it, carries data to and fro, ends it. What the data
 * says, and what an end means, is known only to `EngineProcess`.
 */
import { fork } from "node:child_process"
import { Worker } from "node:worker_threads"

export interface ChannelOptions {
  readonly env: Readonly<Record<string, string>>
  /** Bytes of the JavaScript heap; undefined is Node's own default. */
  readonly heapBytesMax: number | undefined
}

export interface ChannelEvents {
  readonly onMessage: (raw: unknown) => void
  /** It could not be started or spoken with. */
  readonly onError: (cause: unknown) => void
  /** What it writes to stderr. */
  readonly onSaid: (text: string) => void
  /** It is gone. Called once. */
  readonly onEnd: (code: number | null, signal: NodeJS.Signals | null) => void
}

export interface EngineChannel {
  /** The host's own where the engine is a thread. */
  readonly pid: number
  /** What messages call it, e.g. `process (4711)`. */
  readonly title: string
  /** What `kill` does to it: a clause about it begins so. */
  readonly killed: "was killed" | "was abandoned"
  readonly send: (message: unknown) => void
  /** Ends it at once. A thread cannot be ended inside a step: it is abandoned, and `onEnd` is called all the same. */
  readonly kill: () => void
}

/** Sources run as they are, an installed package as it was built: the child's entry lies beside this file either way. */
const WORKER = new URL(`./engineWorker.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url)

const MEBIBYTE = 1024 * 1024
/** Node takes whole mebibytes, and does not start with fewer than a few. */
const heapMebibytes = (bytes: number): number => Math.max(16, Math.floor(bytes / MEBIBYTE))

/** An engine in a process of its own: it can be killed at any moment (24 to 35 ms), and a native abort is its own. */
export const forkChannel = (options: ChannelOptions, events: ChannelEvents): EngineChannel => {
  const { env, heapBytesMax } = options
  const child = fork(WORKER, [], {
    serialization: "advanced",
    // Flags of this process, as a test runner's loaders or a debugger's port, are not for the child.
    execArgv: heapBytesMax === undefined ? [] : [`--max-old-space-size=${heapMebibytes(heapBytesMax)}`],
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    // A process group of its own: Ctrl-C reaches the host alone, which may then finish what it has begun.
    detached: process.platform !== "win32",
  })
  child.stderr?.on("data", (bytes) => events.onSaid(String(bytes)))
  child.on("message", events.onMessage)
  child.on("error", events.onError)
  // Not "exit": what it said last may come after that.
  child.on("close", events.onEnd)
  const pid = child.pid ?? -1
  return {
    pid,
    title: `process (${pid})`,
    killed: "was killed",
    send: (message) => {
      if (child.connected) child.send(message as object, () => {})
    },
    kill: () => child.kill("SIGKILL"),
  }
}

/**
 * An engine in a thread of this process. `Worker.terminate` inside onnxruntime's `run()` aborts the whole process
 * ("terminate called after throwing an instance of 'Napi::Error'"), so it is never called: the thread is asked to end, and
 * one that does not is left to itself.
 */
export const threadChannel = (options: ChannelOptions, events: ChannelEvents): EngineChannel => {
  const { heapBytesMax } = options
  const worker = new Worker(WORKER, {
    execArgv: [],
    stderr: true,
    resourceLimits: heapBytesMax === undefined ? {} : { maxOldGenerationSizeMb: heapMebibytes(heapBytesMax) },
  })
  let isOver = false
  const end = (code: number | null) => {
    if (isOver) return
    isOver = true
    events.onEnd(code, null)
  }
  worker.stderr.on("data", (bytes) => events.onSaid(String(bytes)))
  worker.on("message", (raw) => {
    if (!isOver) events.onMessage(raw)
  })
  // What ends a thread by an exception arrives here, and its end after it.
  worker.on("error", (error) => events.onSaid(`${error}\n`))
  worker.on("exit", end)
  return {
    pid: process.pid,
    title: `thread (${worker.threadId} of ${process.pid})`,
    killed: "was abandoned",
    send: (message) => worker.postMessage(message),
    kill: () => {
      // It may still come to read this, and then it goes; it keeps nobody alive until then.
      worker.postMessage({ model: 0, message: { _tag: "Stop" } })
      worker.unref()
      end(null)
    },
  }
}
