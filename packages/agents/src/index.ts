/** @pontoon/agents: models behind ports, and the ONNX engine that runs them. */
export * as ClassifierActor from "./actors/ClassifierActor.ts"
export * as ConversationActor from "./actors/ConversationActor.ts"
export * as EmbeddingActor from "./actors/EmbeddingActor.ts"
export * from "./actors/Generate.ts"
export * as ModelActor from "./actors/ModelActor.ts"
export * from "./EncoderTarget.ts"
export {
  type DecoderHandle,
  type DecoderOptions,
  type EncoderHandle,
  type EncoderOptions,
  Engine,
  type EngineHandle,
  type EngineOptions,
} from "./engine/Engine.ts"
export type { EngineCounters } from "./engine/protocol.ts"
export { type FolderReport, inspectFolder } from "./inference/folder/inspectFolder.ts"
export type { Dtype } from "./inference/folder/weightFiles.ts"
export * from "./LanguageModel.ts"
export * from "./languageModelTarget.ts"
export * from "./ModelTarget.ts"
