/**
 * The boundary between an operator's command and whoever can carry it out: the process that owns the log, through its
 * socket; or, where no process owns it, this one, which owns it for as long as the command runs.
 */
import { realpathSync, statSync } from "node:fs"
import { createConnection, type Socket } from "node:net"
import { resolve } from "node:path"
import {
  cancelWrites,
  formatAddress,
  type MessageRow,
  type MessageStore,
  redriveWrites,
  TerminalStoreFailure,
  whyNotCancelled,
  whyNotRedriven,
} from "@pontoon/runtime"
import { Clock, Effect, Option, Schema, type Scope } from "effect"
import { SqliteStore } from "../SqliteStore.ts"
import { type ActorRequest, OperatorAnswer, type OperatorRequest, operatorSocket } from "./operatorProtocol.ts"

/** How long an answer is waited for, in milliseconds: an owner on a full disk answers when there is room again. */
const ANSWER_MS_MAX = 30_000

/** The command was not carried out; the message says why. */
export class TerminalCommandRefused extends Schema.TaggedError<TerminalCommandRefused>()("TerminalCommandRefused", {
  message: Schema.String,
}) {}

export interface OperatorDesk {
  readonly ask: (request: OperatorRequest) => Effect.Effect<OperatorAnswer, TerminalCommandRefused>
}

const refuse = (message: string): TerminalCommandRefused => new TerminalCommandRefused({ message })

const decodeAnswer = Schema.decodeUnknownOption(Schema.fromJsonString(OperatorAnswer))

// The owner, by its socket.

/** Undefined where nobody listens. */
const connect = (path: string): Effect.Effect<Socket | undefined> =>
  Effect.callback((resume) => {
    const socket = createConnection(path)
    socket.once("error", () => resume(Effect.succeed(undefined)))
    socket.once("connect", () => resume(Effect.succeed(socket)))
  })

const deskOfOwner = (file: string, socket: Socket): OperatorDesk => {
  const gone = refuse(
    `The owner of ${file} went away before it answered; look with pontoon log whether it had done what was asked.`,
  )
  let rest = ""
  let hear: ((line: string | undefined) => void) | undefined
  socket.setEncoding("utf8").on("data", (text: string) => {
    rest += text
    const end = rest.indexOf("\n")
    if (end < 0) return
    const line = rest.slice(0, end)
    rest = rest.slice(end + 1)
    hear?.(line)
  })
  socket.on("error", () => {})
  socket.on("close", () => hear?.(undefined))
  return {
    ask: (request) =>
      Effect.callback<string | undefined>((resume) => {
        hear = (line) => resume(Effect.succeed(line))
        if (socket.writable) socket.write(`${JSON.stringify(request)}\n`)
        else hear(undefined)
      }).pipe(
        Effect.timeoutOrElse({
          duration: ANSWER_MS_MAX,
          orElse: () => Effect.succeed(undefined),
        }),
        Effect.flatMap((line) => {
          const answer = line === undefined ? Option.none() : decodeAnswer(line)
          return Option.isSome(answer) ? Effect.succeed(answer.value) : Effect.fail(gone)
        }),
      ),
  }
}

/** Whether the socket belongs to whom the file belongs to: in a folder that everybody may write, somebody else may listen. */
const isTrusted = (file: string, path: string): boolean => {
  const socket = statSync(path, { throwIfNoEntry: false })
  return socket !== undefined && (path === `${file}.sock` || socket.uid === statSync(file).uid)
}

// Nobody: this process writes.

type Store = MessageStore["Service"]

const yes = (message: string): OperatorAnswer => ({ ok: true, message })
const no = (message: string): OperatorAnswer => ({ ok: false, message })

const whyNotBody = (row: MessageRow, body: string | undefined): string | undefined => {
  if (body === undefined || row.codec !== "json") return undefined
  try {
    JSON.parse(body)
    return undefined
  } catch {
    return `Message ${row.id} was not redriven, because its new body is not JSON.`
  }
}

const redriveDirectly = Effect.fnUntraced(function* (store: Store, messageId: string, body: string | undefined) {
  const row = yield* store.message(messageId)
  const why = whyNotRedriven(messageId, row) ?? (row === undefined ? undefined : whyNotBody(row, body))
  if (row === undefined || why !== undefined) return no(why ?? "")
  const target = { type: row.actorType, id: row.actorId }
  yield* store.commit(redriveWrites(row, { target, body, atMs: yield* Clock.currentTimeMillis }))
  return yes(`Message ${messageId} waits to be run again; no process owns the log now, the next one runs it.`)
})

const cancelDirectly = Effect.fnUntraced(function* (store: Store, messageId: string) {
  const row = yield* store.message(messageId)
  const why = whyNotCancelled(messageId, row, yield* store.steps(messageId))
  if (row === undefined || why !== undefined) return no(why ?? "")
  yield* store.commit(cancelWrites(row, yield* Clock.currentTimeMillis))
  return yes(`Message ${messageId} is cancelled.`)
})

/** The next owner reads who is suspended before it runs anything. */
const holdDirectly = Effect.fnUntraced(function* (
  store: Store,
  { address, command, reason }: ActorRequest,
  to: "suspended" | "ready",
) {
  const key = formatAddress(address)
  const row = yield* store.actor(address)
  if (row === undefined) return no(`There is no actor ${key} in the log.`)
  const from = row.lifecycle
  if ((from === "suspended") === (to === "suspended"))
    return no(`Actor ${key} is ${from}; there is nothing to ${command}.`)
  const { restarts, version } = row
  const atMs = yield* Clock.currentTimeMillis
  yield* store.commit([
    { _tag: "PutActor", address, lifecycle: to, state: undefined, version, restarts, atMs },
    { _tag: "LifecycleEvent", address, from, to, event: command.toUpperCase(), reason, atMs },
  ])
  return yes(`Actor ${key} is ${to}; no process owns the log now, the next one finds it so.`)
})

const deskWithoutOwner = (store: Store): OperatorDesk => ({
  ask: (request) => {
    const answer = (() => {
      switch (request.command) {
        case "redrive":
          return redriveDirectly(store, request.messageId, request.body)
        case "cancel":
          return cancelDirectly(store, request.messageId)
        case "suspend":
          return holdDirectly(store, request, "suspended")
        case "resume":
          return holdDirectly(store, request, "ready")
        default:
          return Effect.succeed(
            no(`No process owns ${store.location}, so no actor runs; there is nothing to ${request.command}.`),
          )
      }
    })()
    return Effect.mapError(answer, ({ message }) => refuse(message))
  },
})

/** An owner without a desk; somebody's write lock, or anything else that is wrong with the file, says for itself what it is. */
const unheard = (failure: TerminalStoreFailure): TerminalCommandRefused =>
  refuse(
    / is owned by /.test(failure.message)
      ? `${failure.message.replace(/; stop that owner.*$/, "")}, and no system there takes commands; open one over it, or stop it and try again.`
      : failure.message,
  )

/** Opens `file`'s desk until the scope closes. */
export const openOperatorDesk = (
  file: string,
): Effect.Effect<OperatorDesk, TerminalCommandRefused | TerminalStoreFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const real = yield* Effect.try({
      try: () => realpathSync(resolve(file)),
      catch: (cause) =>
        new TerminalStoreFailure({
          reason: "missing",
          message: `There is no file ${resolve(file)}; give the path of a Pontoon log with --db FILE.`,
          cause,
        }),
    })
    const path = operatorSocket(real)
    const socket = isTrusted(real, path)
      ? yield* Effect.acquireRelease(connect(path), (each) => Effect.sync(() => each?.destroy()))
      : undefined
    if (socket !== undefined) return deskOfOwner(real, socket)
    return deskWithoutOwner(yield* Effect.mapError(SqliteStore.make(real), unheard))
  })
