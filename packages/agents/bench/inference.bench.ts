/**
 * The speed of the inference engine: beside @huggingface/transformers on the same weights, prompts and threads, and beside
 * onnxruntime in a plain loop; and what waits for what. Decoders of random weights are made at the start, in a temporary
 * folder (`inference/makeRandomDecoder.ts`).
 *
 * All answer greedily. The engine works in a process of its own, the peer in this one.
 */
import { behaviourCases } from "./inference/behaviour.ts"
import { THREADS, throughputCases } from "./inference/throughput.ts"

export default {
  conditions: [
    `barista: 2.5M parameters, trained; 27M and 110M: random weights; greedy; ${THREADS} thread inside a step on both sides`,
    "prompts between three quarters and all of the context, none read before; loading is measured in the restart only",
    "writing tokens/s: from when all have their first token until the first ends; tokens/s: reading of prompts included",
  ],
  cases: [...throughputCases, ...behaviourCases],
}
