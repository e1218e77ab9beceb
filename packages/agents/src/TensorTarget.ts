/**
 * The boundary between an actor and a model of any kind: named tensors go in, named tensors come out.
 */
import { Context, type Effect } from "effect"
import type { EncodeFailure } from "./EncoderTarget.ts"
import type { RetryableModelCrash, TargetDescription } from "./ModelTarget.ts"
import type { NamedTensors, TensorSpec } from "./TensorValue.ts"

export class TensorTarget extends Context.Service<
  TensorTarget,
  {
    readonly describe: TargetDescription & {
      readonly inputs: ReadonlyArray<TensorSpec>
      readonly outputs: ReadonlyArray<TensorSpec>
    }
    /**
     * Runs the graph once. The elements are copied as the call begins: what becomes of the arrays afterwards is of no matter.
     *
     * @param outputs the outputs to compute and give back; default all
     * @returns fails with `TerminalModelFailure` (reason `request`) where names, types, dimensions or numbers are not what
     * the graph takes, `RetryableModelBusy` where the queue is full, `RetryableModelCrash` where the process is gone
     */
    readonly run: (inputs: NamedTensors, outputs?: ReadonlyArray<string>) => Effect.Effect<NamedTensors, EncodeFailure>
    readonly died: Effect.Effect<never, RetryableModelCrash>
  }
>()("@pontoon/agents/TensorTarget") {}
