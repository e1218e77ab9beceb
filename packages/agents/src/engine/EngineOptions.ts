/**
 * The boundary of what a user may ask of an engine: every option with its unit, default and range, and what of it the
 * model's process has to know.
 */
import { totalmem } from "node:os"
import { basename, resolve } from "node:path"
import type { Dtype } from "../inference/folder/modelFolder.ts"
import type { EngineHost } from "./EngineHost.ts"
import { findWrongSpan, findWrongTerm, type ProcessTerms } from "./ProcessTerms.ts"
import type { EngineSettings } from "./protocol.ts"

/** An execution provider: its name, or its name and what onnxruntime is to tell it. */
export type Provider = string | { readonly name: string; readonly [option: string]: string | number | boolean }

export interface EngineOptions extends ProcessTerms {
  /** The model folder, in the layout of transformers.js. */
  readonly folder: string
  /** What it is called in messages and descriptions. Default: the folder's name. */
  readonly name?: string
  /** Which weights to take. Default `auto`: the most faithful ones that are there (fp32, fp16, int8, q4). */
  readonly dtype?: Dtype
  /**
   * Execution providers, tried in order; why one was not taken is in `describe.tried`. Default `["cpu"]`. `webgpu` is
   * built in on Linux, Windows and macOS, `dml` on Windows, `coreml` on macOS; `cuda` needs libraries of its own. One that
   * is to be told more is an object, e.g. `{ name: "cuda", deviceId: 1 }`.
   */
  readonly providers?: ReadonlyArray<Provider>
  /**
   * Threads inside one step, 1 to 256. Default `auto`: 1 for weights under 32 MiB, which get slower with more on a machine
   * that does other things too, else the cores of this machine by the engines of this program when the model is loaded
   * (27M parameters gain 1.6 times from the second). More than there are cores makes every step slower.
   */
  readonly intraOpNumThreads?: number | "auto"
  /** Requests that may wait for a slot; past it a request fails with `RetryableModelBusy`. Default 64. */
  readonly queueMax?: number
  /** Loading that takes longer than this fails, and its process is killed. Default 120,000 ms. */
  readonly loadMsMax?: number
  /** The process to be loaded into, beside other models. Default: one of its own. It has the `ProcessTerms` then. */
  readonly host?: EngineHost
}

export interface DecoderOptions extends EngineOptions {
  /** Answers made at once. Default 8, 1 to 256: more of them get through in all, each more slowly, with a cache each. */
  readonly slots?: number
  /**
   * Whether answers share steps. Default true, where the graph allows it, on the CPU; `describe.path` says whether it does,
   * and why. Sums are rounded differently in larger batches, so where two tokens are equally likely to six digits, company
   * can decide; false rules that out.
   */
  readonly batching?: boolean
  /**
   * Whether a graph that was rewritten so that answers can share steps is run a few tokens against the one it was made of,
   * when it is loaded. Default true; false loads sooner (the weights are opened once and not twice), and trusts it.
   */
  readonly checkRewrite?: boolean
  /** Tokens of a prompt that one step reads. Default 128, 1 to 4096: a cancel waits no longer than such a step. */
  readonly prefillChunkTokens?: number
  /**
   * Conversations of which what was read is kept between requests, the last used. Default 16, to 100,000; 0 keeps nothing.
   * What they begin with alike is kept once, and serves new ones too.
   */
  readonly cachedConversationsMax?: number
  /** Bytes that kept contexts may take together. Default 256 MiB; at most what running ones leave of `contextBytesMax`. */
  readonly cachedBytesMax?: number
  /**
   * Bytes that all contexts of the model may take: those of running answers, at the length that each may grow to, and kept
   * ones. Default a quarter of the memory that this process may use (its container's limit, else the machine's). A request
   * that needs more is refused with the numbers; one that needs more than is free waits. Weights are not counted.
   */
  readonly contextBytesMax?: number
  /**
   * A folder of this model's own (replicas may share it) to which kept contexts go when memory is wanted, and come back from,
   * also after a restart. Default none: they are forgotten, and read again. Its files hold what was said, readable (mode
   * 0600) and not encrypted; those of other weights are removed. CPU only.
   */
  readonly spillFolder?: string
  /** Bytes that the files of `spillFolder` may take together; the least recently used go. Default 1 GiB. */
  readonly spillBytesMax?: number
  /** A smaller model that guesses ahead, so that a step checks several tokens. Default none. */
  readonly draft?: DraftOptions
}

/** The answers stay the same, token for token; only an answer that has the steps to itself gets faster. */
export interface DraftOptions {
  /** Its model folder; its tokenizer.json must be the same file as the large model's. */
  readonly folder: string
  /** As of the large one. Default `auto`. */
  readonly dtype?: Dtype
  /** Tokens that it guesses at once. Default 4, 1 to 16: more pay only where most guesses are right. */
  readonly tokens?: number
  /** Default true: it is used only while that is measured to be faster. False uses it always. */
  readonly adaptive?: boolean
}

export interface EncoderOptions extends EngineOptions {
  /** Texts that one step takes. Default 8, 1 to 256: batching gains 1.1 to 1.3 times on short texts, and nothing beyond. */
  readonly batchTextsMax?: number
  /** Texts that one request may hold. Default 1,024, from 1: raising it lets one caller keep the others waiting for longer. */
  readonly textsMax?: number
  /**
   * How the vectors of a text's tokens become one: their mean, that of the first (`cls`) or of the last token. Default what
   * the folder's 1_Pooling/config.json says, else `mean`; a graph that gives `sentence_embedding` has done it itself.
   */
  readonly pooling?: "mean" | "cls" | "last"
  /** Whether vectors are scaled to length 1. Default true: their dot product is then their cosine similarity. */
  readonly normalise?: boolean
  /**
   * Numbers kept of a vector, the first ones; before it is scaled. Default all. For models that were trained for it
   * (Matryoshka representations, arXiv 2205.13147); others lose what the last ones say.
   */
  readonly dimensionsMax?: number
}

export const DEFAULTS = {
  queueMax: 64,
  loadMsMax: 120_000,
  slots: 8,
  batching: true,
  checkRewrite: true,
  prefillChunkTokens: 128,
  cachedConversationsMax: 16,
  cachedBytesMax: 256 * 1024 * 1024,
  batchTextsMax: 8,
  spillBytesMax: 1024 * 1024 * 1024,
  draftTokens: 4,
  textsMax: 1024,
} as const

/** Bytes that this process may use: its container's limit where it has one, which the kernel tells as a very great one. */
const usableBytes = (): number => {
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}

const draftOf = (draft: DraftOptions | undefined): Pick<EngineSettings, "draft"> => {
  if (draft === undefined) return {}
  const { adaptive = true, dtype = "auto", tokens = DEFAULTS.draftTokens } = draft
  return { draft: { folder: resolve(draft.folder), dtype, tokens, adaptive } }
}

/** What only one kind of engine has to be told. */
export type OwnSettings = Pick<EngineSettings, "tensors" | "vectors">

export const settingsOf = (
  kind: EngineSettings["kind"],
  options: DecoderOptions & EncoderOptions,
  own: OwnSettings = {},
): EngineSettings => ({
  ...own,
  kind,
  name: options.name ?? basename(resolve(options.folder)),
  folder: resolve(options.folder),
  dtype: options.dtype ?? "auto",
  provider: "cpu",
  providerOptions: {},
  intraOpNumThreads: typeof options.intraOpNumThreads === "number" ? options.intraOpNumThreads : { autoUpTo: 1 },
  slots: options.slots ?? DEFAULTS.slots,
  batching: options.batching ?? DEFAULTS.batching,
  checkRewrite: options.checkRewrite ?? DEFAULTS.checkRewrite,
  prefillChunkTokens: options.prefillChunkTokens ?? DEFAULTS.prefillChunkTokens,
  cachedConversationsMax: options.cachedConversationsMax ?? DEFAULTS.cachedConversationsMax,
  cachedBytesMax: options.cachedBytesMax ?? DEFAULTS.cachedBytesMax,
  contextBytesMax: options.contextBytesMax ?? Math.floor(usableBytes() / 4),
  batchTextsMax: options.batchTextsMax ?? DEFAULTS.batchTextsMax,
  spillBytesMax: options.spillBytesMax ?? DEFAULTS.spillBytesMax,
  ...(options.spillFolder === undefined ? {} : { spillFolder: resolve(options.spillFolder) }),
  ...draftOf(options.draft),
})

const TERMS = ["isolation", "env", "heapBytesMax", "silenceMsMax", "silenceMsMin", "stopMsMax"] as const

/** What is wrong with how an engine is to be run, as a clause; undefined where nothing is. */
export const findWrongOption = (options: EngineOptions): string | undefined => {
  const given = TERMS.find((term) => options[term] !== undefined)
  if (options.host !== undefined && given !== undefined) {
    return `${given} is a matter of its host's process; say it in Engine.host, or leave host out`
  }
  return findWrongTerm(options) ?? findWrongSpan({ loadMsMax: options.loadMsMax })
}
