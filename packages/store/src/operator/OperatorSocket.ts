/**
 * The boundary to operators' commands in other processes: a socket beside the file, of mode 0600, open while a system is
 * attached to the store. Whoever may read and write the file may ask; nobody else.
 */
import { chmodSync, rmSync } from "node:fs"
import { createServer, type Server, type Socket } from "node:net"
import { isMainThread } from "node:worker_threads"
import { formatAddress, MessageStore, type Operations, OperatorPort } from "@pontoon/runtime"
import { Effect, Layer, Option, Schema } from "effect"
import {
  type ActorCommand,
  type ActorRequest,
  type OperatorAnswer,
  OperatorRequest,
  operatorSocket,
  REQUEST_BYTES_MAX,
} from "./operatorProtocol.ts"

/** Commands at once: operators are few, and each command asks one thing at a time. More are turned away by the kernel. */
const CONNECTIONS_MAX = 8

/** A connection that says nothing for so long is closed, in milliseconds. */
const IDLE_MS_MAX = 30_000

const decodeRequest = Schema.decodeUnknownOption(Schema.fromJsonString(OperatorRequest))

/** What is said when it was done, and when there was nothing to be done. */
const SAID: Readonly<Record<ActorCommand, readonly [done: string, not: string]>> = {
  stop: [
    "stops: what it runs may end, what waits moves or becomes dead letters",
    "is not in its owner's memory, or has stopped already",
  ],
  suspend: [
    "is suspended: what it runs may end, what waits and what comes waits",
    "is gone, suspended already, or unknown to its owner",
  ],
  resume: ["goes on", "is not suspended"],
  restart: ["is restarted", "is about to stop, or unknown to its owner"],
}

const onActor = (operations: Operations, { address, command, reason }: ActorRequest): Effect.Effect<OperatorAnswer> =>
  Effect.match(operations[command](address, reason), {
    onSuccess: (ok) => ({ ok, message: `Actor ${formatAddress(address)} ${SAID[command][ok ? 0 : 1]}.` }),
    onFailure: ({ message }) => ({ ok: false, message }),
  })

const carryOut = (operations: Operations, request: OperatorRequest): Effect.Effect<OperatorAnswer> => {
  switch (request.command) {
    case "redrive": {
      const { body, messageId } = request
      return Effect.match(operations.redrive(messageId, body), {
        onSuccess: () => ({ ok: true, message: `Message ${messageId} waits to be run again.` }),
        onFailure: (failure) => ({
          ok: false,
          message: failure.message,
          ...("retryAfterMs" in failure ? { retryAfterMs: failure.retryAfterMs } : {}),
        }),
      })
    }
    case "cancel": {
      const { messageId } = request
      return Effect.map(operations.cancel(messageId), (ok) => ({
        ok,
        message: ok
          ? `Message ${messageId} is cancelled.`
          : `Message ${messageId} is not one that its owner could cancel.`,
      }))
    }
    default:
      return onActor(operations, request)
  }
}

const answerOf = (operations: Operations, line: string): Effect.Effect<OperatorAnswer> => {
  const request = decodeRequest(line)
  return Option.isSome(request)
    ? carryOut(operations, request.value)
    : Effect.succeed({
        ok: false,
        message:
          "The owner of the log does not know this request; use the same version of @pontoon/store on both sides.",
      })
}

/** Answers one line after the other. */
const serve = (socket: Socket, operations: Operations, run: (effect: Effect.Effect<void>) => void): void => {
  let rest = ""
  let isBusy = false
  const lines: Array<string> = []
  const say = (answer: OperatorAnswer): void => {
    if (socket.writable) socket.write(`${JSON.stringify(answer)}\n`)
  }
  const next = (): void => {
    const line = isBusy ? undefined : lines.shift()
    if (line === undefined) return
    isBusy = true
    run(
      Effect.map(answerOf(operations, line), (answer) => {
        isBusy = false
        say(answer)
        next()
      }),
    )
  }
  socket.setEncoding("utf8").setTimeout(IDLE_MS_MAX, () => socket.destroy())
  // The operator went away; what was asked is carried out all the same.
  socket.on("error", () => {})
  socket.on("data", (text: string) => {
    rest += text
    const parts = rest.split("\n")
    rest = parts.pop() ?? ""
    lines.push(...parts)
    // A character is a byte at least.
    if (rest.length + lines.reduce((sum, line) => sum + line.length, 0) > REQUEST_BYTES_MAX) {
      say({ ok: false, message: `A request may have ${REQUEST_BYTES_MAX} bytes; this one has more.` })
      lines.length = 0
      rest = ""
      socket.end()
    } else next()
  })
}

/** Binds; the file is never open to others, not even between its making and its mode. */
const bind = (server: Server, path: string): void => {
  // One that a killed owner left: this process owns the log, so nobody listens there.
  rmSync(path, { force: true })
  const mask = isMainThread ? process.umask(0o177) : undefined
  try {
    server.listen(path)
  } finally {
    if (mask !== undefined) process.umask(mask)
  }
}

interface Listening {
  readonly server: Server
  readonly connections: ReadonlySet<Socket>
}

const listen = (path: string, operations: Operations, run: (effect: Effect.Effect<void>) => void) =>
  Effect.callback<Listening, Error>((resume) => {
    const connections = new Set<Socket>()
    const server = createServer((socket) => {
      connections.add(socket)
      socket.on("close", () => connections.delete(socket))
      serve(socket, operations, run)
    })
    server.maxConnections = CONNECTIONS_MAX
    // It keeps no process alive.
    server.unref()
    server.once("error", (error) => resume(Effect.fail(error)))
    server.once("listening", () => {
      chmodSync(path, 0o600)
      resume(Effect.succeed({ server, connections }))
    })
    try {
      bind(server, path)
    } catch (error) {
      resume(Effect.fail(error instanceof Error ? error : new Error(String(error))))
    }
  })

/** Takes the socket away; no connection keeps an owner from closing. */
const close = ({ server, connections }: Listening): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close(() => resume(Effect.void))
    for (const socket of connections) socket.destroy()
  })

/** `OperatorPort` by a socket beside the file of the `MessageStore`. */
const layer: Layer.Layer<never, never, MessageStore> = Layer.effect(
  OperatorPort,
  Effect.map(MessageStore, ({ location }) => ({
    attach: (operations: Operations) =>
      Effect.gen(function* () {
        const services = yield* Effect.context<never>()
        const run = Effect.runForkWith(services)
        const path = operatorSocket(location)
        yield* Effect.acquireRelease(
          listen(path, operations, (effect) => void run(effect)),
          close,
        )
      }).pipe(
        Effect.catch((error) =>
          Effect.logWarning(
            `No operator's command will reach this process: the socket of ${location} could not be made (${error.message}).`,
          ),
        ),
      ),
  })),
)

export const OperatorSocket = { layer }
