/**
 * The boundary between a message's type and its text: a task is an effect/rpc definition, and this module says how what
 * it carries is written in the log.
 *
 * A task that streams has two results: the chunks, and the *whole* that `messages.reply` holds when the stream is over.
 * `Rpc.make` knows only the chunks, so `Task.stream` adds the whole's schema.
 */
import { Effect, PrimaryKey, Schema } from "effect"
import { Rpc, RpcSchema } from "effect/rpc"
import type { Codec } from "../message/Envelope.ts"
import { decodeJsonText, encodeJsonText, type Plain } from "./jsonText.ts"

/** Any effect/rpc definition whose schemas need no services. */
export interface AnyTask extends Rpc.AnyWithProps {
  readonly payloadSchema: Plain
  readonly successSchema: Plain
  readonly errorSchema: Plain
  /** The schema of a streaming task's whole; absent where there is nothing but chunks. */
  readonly wholeSchema?: Plain
}

/** What `ask` gives: the success, or a streaming task's whole. */
export type Whole<T> = T extends { readonly wholeSchema: infer W extends Schema.Top }
  ? W["Type"]
  : Rpc.SuccessSchema<T> extends RpcSchema.Stream<infer _A, infer _E>
    ? null
    : Rpc.Success<T>

/** What `stream` gives, one at a time; `never` for a task that does not stream. */
export type Chunk<T> =
  Rpc.SuccessSchema<T> extends RpcSchema.Stream<infer A extends Schema.Top, infer _E> ? A["Type"] : never

/** The errors that a task declares. */
export type DeclaredError<T> =
  Rpc.SuccessSchema<T> extends RpcSchema.Stream<infer _A, infer E extends Schema.Top>
    ? E["Type"] | Rpc.Error<T>
    : Rpc.Error<T>

/**
 * A task whose reply is a stream of `chunk`s, folded into `whole` when it ends.
 *
 * ```ts
 * const Say = Task.stream("Say", { payload: { text: Schema.String }, chunk: Schema.String, whole: Schema.String })
 * ```
 */
export const stream = <
  const Tag extends string,
  Payload extends Schema.Top | Schema.Struct.Fields,
  Chunk extends Schema.Top,
  Whole extends Schema.Top,
  Error extends Schema.Top = Schema.Never,
>(
  tag: Tag,
  options: { readonly payload: Payload; readonly chunk: Chunk; readonly whole: Whole; readonly error?: Error },
) => {
  const rpc = Rpc.make<Tag, Payload, Chunk, Error, true>(tag, {
    payload: options.payload,
    success: options.chunk,
    stream: true,
    ...(options.error === undefined ? {} : { error: options.error }),
  })
  return Object.assign(rpc, { wholeSchema: options.whole })
}

/** A task compiled for the log: text in and out of every schema it has. */
export interface TaskCodec {
  readonly tag: string
  readonly streaming: boolean
  readonly codec: Codec
  /** Checks what a caller passed, and fills in the defaults. */
  readonly makePayload: (value: unknown) => Effect.Effect<unknown, Schema.SchemaError>
  readonly encodePayload: (payload: unknown) => Effect.Effect<string, Schema.SchemaError>
  readonly decodePayload: (text: string) => Effect.Effect<unknown, Schema.SchemaError>
  readonly encodeReply: (value: unknown) => Effect.Effect<string, Schema.SchemaError>
  readonly decodeReply: (text: string) => Effect.Effect<unknown, Schema.SchemaError>
  readonly encodeChunk: (value: unknown) => Effect.Effect<string, Schema.SchemaError>
  readonly decodeChunk: (text: string) => Effect.Effect<unknown, Schema.SchemaError>
  /** To JSON data, not text: it is stored inside a `FailureRecord`. */
  readonly encodeError: (error: unknown) => Effect.Effect<unknown, Schema.SchemaError>
  readonly decodeError: (data: unknown) => Effect.Effect<unknown, Schema.SchemaError>
  /** The payload's own idempotency key, where the task defines `primaryKey`. */
  readonly primaryKey: (payload: unknown) => string | undefined
}

const isText = (schema: Schema.Top): boolean => schema.ast._tag === "String" && schema.ast.checks === undefined

/** Compiles a task; done once for each when its actor is defined. */
export const compileTask = (task: AnyTask): TaskCodec => {
  const success = task.successSchema
  const streaming = RpcSchema.isStreamSchema(success)
  // `AnyTask` says that no schema of a task needs services; `isStreamSchema` forgets that of a stream's parts.
  const chunk = streaming ? (success.success as Plain) : Schema.Never
  const error = streaming ? (success.error as Plain) : task.errorSchema
  const whole = task.wholeSchema ?? (streaming ? Schema.Null : success)
  const codec: Codec = isText(task.payloadSchema) && isText(whole) ? "text" : "json"
  const encode = (schema: Plain) =>
    codec === "text" ? Schema.encodeUnknownEffect(Schema.String) : encodeJsonText(schema)
  const decode = (schema: Plain) =>
    codec === "text" ? Schema.decodeUnknownEffect(Schema.String) : decodeJsonText(schema)
  return {
    tag: task._tag,
    streaming,
    codec,
    makePayload: (value) =>
      task.payloadSchema.makeEffect(value).pipe(Effect.mapErrorEager((issue) => new Schema.SchemaError(issue))),
    encodePayload: encode(task.payloadSchema),
    decodePayload: decode(task.payloadSchema),
    encodeReply: encode(whole),
    decodeReply: decode(whole),
    encodeChunk: encodeJsonText(chunk),
    decodeChunk: decodeJsonText(chunk),
    encodeError: Schema.encodeUnknownEffect(Schema.toCodecJson(error)),
    decodeError: Schema.decodeUnknownEffect(Schema.toCodecJson(error)),
    primaryKey: (value) => (PrimaryKey.isPrimaryKey(value) ? PrimaryKey.value(value) : undefined),
  }
}
