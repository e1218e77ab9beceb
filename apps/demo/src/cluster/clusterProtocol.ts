/** The boundary between the stage and the cluster's process: what they say to each other, checked on both sides. */
import { ConversationActor } from "@pontoon/agents"
import { Schema } from "effect"
import { DEVICES } from "../options.ts"
import { Heard } from "./FrontDesk.ts"

/** From the stage to the cluster. */
export const Order = Schema.Union([
  /** Open the file and start everything. */
  Schema.TaggedStruct("Open", { db: Schema.String, device: Schema.Literals(DEVICES), seed: Schema.Int }),
  /** A customer says something; `key` makes saying it again safe. */
  Schema.TaggedStruct("Say", { key: Schema.String, conversation: Schema.String, text: Schema.String }),
  /** Fault injection: the replica waits this long before each step. */
  Schema.TaggedStruct("Slow", { replica: Schema.String, delayMs: Schema.Number }),
  /** Drain, and end. */
  Schema.TaggedStruct("Close", {}),
])
export type Order = typeof Order.Type

/** From the cluster to the stage. */
export const News = Schema.Union([
  Schema.TaggedStruct("Up", {}),
  /** It cannot start; the process ends. */
  Schema.TaggedStruct("Unavailable", { message: Schema.String }),
  Schema.TaggedStruct("ModelStarted", { replica: Schema.String, pid: Schema.Int }),
  Schema.TaggedStruct("Chunk", { key: Schema.String, chunk: ConversationActor.AnswerChunk }),
  Schema.TaggedStruct("Answered", { key: Schema.String, heard: Heard }),
  Schema.TaggedStruct("Failed", { key: Schema.String, tag: Schema.String, message: Schema.String }),
])
export type News = typeof News.Type
