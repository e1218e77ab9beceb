/** A small log with everything in it that the inspector shows. */
import type { Write } from "@pontoon/runtime"
import {
  append,
  appendClaimed,
  claim,
  lifecycleEvent,
  putActor,
  retry,
  routeDecision,
  START_MS,
  settle,
} from "@pontoon/runtime/testing"

const asker = { actorType: "conversation", actorId: "c/1" }
const ROOT = "01ROOT"

const answered: ReadonlyArray<Write> = [
  appendClaimed(ROOT, { ...asker, task: "ask", body: '{"text":"A flat white, please"}' }),
  {
    ...appendClaimed(`${ROOT}.1`, {
      pool: "bar",
      createdAtMs: START_MS + 3,
      correlationId: ROOT,
      causationId: ROOT,
      sender: "conversation/c/1",
      body: '{"drink":"flat white"}',
    }),
  },
  { ...routeDecision(`${ROOT}.1`), atMs: START_MS + 3 },
  { ...retry(`${ROOT}.1`, 1, { type: "barista", id: "2" }), atMs: START_MS + 20 },
  { ...routeDecision(`${ROOT}.1`, "bar", 2), chosen: "barista/2", reason: "barista/1 failed", atMs: START_MS + 20 },
  { ...claim(`${ROOT}.1`, 2), atMs: START_MS + 21 },
  append(`${ROOT}.1.0`, {
    actorType: "cashier",
    createdAtMs: START_MS + 30,
    correlationId: ROOT,
    causationId: `${ROOT}.1`,
    task: "pay",
    codec: "text",
    body: "4.20 €\u001b[31m\tred",
  }),
  { ...settle(`${ROOT}.1`, 2), atMs: START_MS + 1_253, reply: '{"ready":true}' },
  { ...settle(ROOT), atMs: START_MS + 1_260, reply: '"Here you are"' },
]

export const SAMPLE_WRITES: ReadonlyArray<Write> = [
  ...answered,
  appendClaimed("02DEAD", { createdAtMs: START_MS + 2_000, body: '{"text":"Tea"}' }),
  { ...retry("02DEAD"), atMs: START_MS + 2_010 },
  { ...claim("02DEAD", 2), atMs: START_MS + 2_020 },
  { ...settle("02DEAD", 2, "dead"), atMs: START_MS + 2_030 },
  appendClaimed("03LATE", { createdAtMs: START_MS + 3_000, actorId: "2" }),
  putActor({ type: "conversation", id: "c/1" }, '{"turns":1}', { version: 2, atMs: START_MS + 1_260 }),
  putActor({ type: "barista", id: "1" }, null, { lifecycle: "failed", restarts: 3, atMs: START_MS + 2_030 }),
  lifecycleEvent("ready", "failed", "no milk"),
]
