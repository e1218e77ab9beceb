/** @pontoon/agents: models behind ports, and the ONNX engine that runs them. */
export * from "./EncoderTarget.ts"
export {
  type DecoderHandle,
  type DecoderOptions,
  type EncoderHandle,
  type EncoderOptions,
  Engine,
  type EngineHandle,
  type EngineOptions,
} from "./inference/Engine.ts"
export type { Dtype } from "./inference/modelFolder.ts"
export type { EngineCounters } from "./inference/protocol.ts"
export * from "./ModelTarget.ts"
