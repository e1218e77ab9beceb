/** @pontoon/agents: models behind ports, and the ONNX engine that runs them. */
export * as ClassifierActor from "./actors/ClassifierActor.ts"
export * as ConversationActor from "./actors/ConversationActor.ts"
export * as EmbeddingActor from "./actors/EmbeddingActor.ts"
export * from "./actors/Generate.ts"
export * as ModelActor from "./actors/ModelActor.ts"
export * as RerankerActor from "./actors/RerankerActor.ts"
export * as TensorActor from "./actors/TensorActor.ts"
export * as TokenClassifierActor from "./actors/TokenClassifierActor.ts"
export * from "./EncoderTarget.ts"
export { type DecoderHandle, type EncoderHandle, Engine } from "./engine/Engine.ts"
export type { EngineHandle } from "./engine/EngineHandle.ts"
export type { EngineHost } from "./engine/EngineHost.ts"
export type { DecoderOptions, DraftOptions, EncoderOptions, EngineOptions, Provider } from "./engine/EngineOptions.ts"
export type { ProcessTerms } from "./engine/ProcessTerms.ts"
export type { EngineCounters, Fault } from "./engine/protocol.ts"
export { TensorEngine, type TensorHandle, type TensorOptions } from "./engine/TensorEngine.ts"
export { generateMany, type ManyRequest, SAMPLES_MAX, type SampleEvent, sampleSeed } from "./generateMany.ts"
export { type FolderReport, inspectFolder } from "./inference/folder/inspectFolder.ts"
export type { Dtype } from "./inference/folder/weightFiles.ts"
export * from "./LanguageModel.ts"
export * from "./languageModelTarget.ts"
export * from "./ModelTarget.ts"
export { QUANTIZE_RULES, type QuantizeRules } from "./quantization/quantizeGraph.ts"
export {
  type QuantizePlan,
  type QuantizeReport,
  quantizeModel,
  TerminalQuantizationRefused,
} from "./quantization/quantizeModel.ts"
export * from "./TensorTarget.ts"
export { Float32Elements, NamedTensors, TensorSpec, type TensorType, TensorValue } from "./TensorValue.ts"
