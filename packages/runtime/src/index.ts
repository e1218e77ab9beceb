export { ActorSystem, type ActorSystemOptions, TerminalEscalated } from "./ActorSystem.ts"
export * as Actor from "./actor/Actor.ts"
export type {
  ActorContext,
  ActorSelf,
  ChildOptions,
  ChildStreamOptions,
  DispatchNote,
  NumberedChunk,
  ReadOptions,
  SameTask,
  SendOptions,
  StreamOptions,
} from "./actor/ActorContext.ts"
export type { BoundRef } from "./actor/BoundRef.ts"
export {
  fromMachine,
  type MachineAct,
  type MachineOptions,
  type MachineReply,
  type MachineTasks,
  TerminalMachineMistake,
} from "./actor/fromMachine.ts"
export type { LifecycleState } from "./actor/lifecycle.ts"
export type { AllOptions, SleepOptions, StepFailure, StepOptions, StepRetry } from "./actor/StepOptions.ts"
export * as Task from "./actor/Task.ts"
export { Terminated } from "./actor/Terminated.ts"
export { closeOnSignals, type SignalOptions } from "./closeOnSignals.ts"
export { type Cause, diagnose, type Finding } from "./history/diagnose.ts"
export {
  type HistoryAttempt,
  type HistoryRedrive,
  type HistoryRoute,
  type LifecycleMoment,
  type MessageHistory,
  readHistory,
} from "./history/MessageHistory.ts"
export {
  cancelWrites,
  type RedriveTerms,
  redriveWrites,
  whyNotCancelled,
  whyNotRedriven,
} from "./life/operator/operatorWrites.ts"
export type { Pace } from "./life/streams/Reader.ts"
export * from "./message/Address.ts"
export * from "./message/DeliveryFailure.ts"
export * from "./message/Envelope.ts"
export * from "./message/Feedback.ts"
export * from "./message/MessageId.ts"
export * from "./message/RecordedError.ts"
export * from "./message/Reply.ts"
export * from "./message/StepFailure.ts"
export { type Best, type BestOfOptions, bestOf } from "./patterns/bestOf.ts"
export { type Coalescer, type CoalescerOptions, makeCoalescer, TerminalSharedRun } from "./patterns/Coalescer.ts"
export { forward, forwardStream } from "./patterns/forward.ts"
export { makeSchedule, type Schedule, type ScheduleOptions, TerminalInvalidSchedule } from "./patterns/Schedule.ts"
export {
  type Answer,
  type Gathered,
  type PatternContext,
  type ScatterFailure,
  type ScatterOptions,
  scatter,
  TerminalInvalidScatter,
} from "./patterns/scatter.ts"
export { makeTopic, TerminalTopicFull, type Topic, type TopicOptions } from "./patterns/Topic.ts"
export { type Vote, type VoteOptions, vote } from "./patterns/vote.ts"
export * from "./ports/CrashPoints.ts"
export * from "./ports/LogReader.ts"
export * from "./ports/MessageSelection.ts"
export * from "./ports/MessageStore.ts"
export * from "./ports/OperatorPort.ts"
export * from "./ports/readLimit.ts"
export * from "./ports/StoreFailure.ts"
export * from "./ports/Submission.ts"
export * from "./ports/Write.ts"
export { type Abortable, type CallOptions, Pontoon, type PontoonOptions } from "./promise.ts"
export { decide } from "./supervision/adaptive/decide.ts"
export type { Candidate, Decision, Evidence, MessageFacts, Prediction } from "./supervision/adaptive/Evidence.ts"
export { isPolicy, POLICY_NAMES, type PolicyName } from "./supervision/adaptive/policies.ts"
export { readEvidence, replay } from "./supervision/adaptive/readEvidence.ts"
export {
  makeSupervisor,
  type Strategy,
  type SupervisorChild,
  type SupervisorGroup,
  type SupervisorOptions,
} from "./supervision/makeSupervisor.ts"
export { type AnyPool, makePool, type Pool, type PoolOptions } from "./supervision/Pool.ts"
export type { Backoff, Crash, Directive, RetryPolicy, Supervision } from "./supervision/restartPolicy.ts"
