/**
 * The boundary between the demo and its actors: the whole cluster, from the front desk to the models, as values.
 *
 *     customer ─▶ front-desk ─▶ sorters (pool)
 *                     ├─▶ coffee ─▶ counter (pool): barista/a, barista/b, then barista-mini/a
 *                     ├─▶ bank-desk ─▶ intents (pool)
 *                     ├─▶ finance-desk ─▶ sentiments (pool)
 *                     └─▶ integrator ─▶ any of the desks
 */
import { fileURLToPath } from "node:url"
import { ClassifierActor, ConversationActor, type DecoderHandle, ModelActor } from "@pontoon/agents"
import { makePool } from "@pontoon/runtime"
import { Effect } from "effect"
import type { Device } from "../options.ts"
import { makeBankDesk } from "./BankDesk.ts"
import { makeFinanceDesk } from "./FinanceDesk.ts"
import { makeFrontDesk } from "./FrontDesk.ts"
import { makeIntegrator } from "./Integrator.ts"

export interface ClusterOptions {
  readonly device: Device
  readonly seed: number
  /** Where the model folders lie. Default: the ones that come with the demo. */
  readonly models?: string
  /** Called each time that a decoder's process is up, with the replica's address. */
  readonly onStarted?: (replica: string, handle: DecoderHandle) => Effect.Effect<void>
}

const bundledModels = fileURLToPath(new URL("../../models", import.meta.url))

/** Execution providers by device, in the order in which they are tried. */
const PROVIDERS: Readonly<Record<Device, ReadonlyArray<string>>> = {
  cpu: ["cpu"],
  webgpu: ["webgpu"],
  cuda: ["cuda"],
  auto: ["cuda", "webgpu", "cpu"],
}

/** The barista's answers are short; a longer one has gone astray. */
const ANSWER_TOKENS_MAX = 80

export const makeCluster = ({ device, models = bundledModels, onStarted, seed }: ClusterOptions) => {
  const providers = PROVIDERS[device]
  const decoder = (name: string) =>
    ModelActor.make(name, {
      folder: `${models}/${name}`,
      providers,
      onStarted: (id, handle) => onStarted?.(`${name}/${id}`, handle) ?? Effect.void,
    })
  const classifier = (name: string, folder: string) =>
    ClassifierActor.make(name, { folder: `${models}/${folder}`, providers })
  const barista = decoder("barista")
  const mini = decoder("barista-mini")
  const sorter = classifier("sorter", "front-desk")
  const intent = classifier("intent", "banking-intent")
  const sentiment = classifier("sentiment", "finance-sentiment")
  const counter = makePool("counter", {
    targets: [barista.ref("a"), barista.ref("b"), { ref: mini.ref("a"), tier: 1 }],
  })
  const sorters = makePool("sorters", { targets: [sorter.ref("a")] })
  const intents = makePool("intents", { targets: [intent.ref("a")] })
  const sentiments = makePool("sentiments", { targets: [sentiment.ref("a")] })
  const coffee = ConversationActor.make("coffee", {
    model: counter.ref,
    sampling: { temperature: 0.4, topK: 20, seed, maxTokens: ANSWER_TOKENS_MAX },
  })
  const bank = makeBankDesk(intents.ref)
  const finance = makeFinanceDesk(sentiments.ref)
  const desks = { coffee: coffee.ref, banking: bank.ref, finance: finance.ref }
  const integrator = makeIntegrator(desks)
  const frontDesk = makeFrontDesk({ sorters: sorters.ref, desks, integrator: integrator.ref })
  return {
    frontDesk,
    actors: [frontDesk, coffee, bank, finance, integrator, barista, mini, sorter, intent, sentiment],
    pools: [counter, sorters, intents, sentiments],
    /** Everything with a process, by address; the cluster is up when each of them is. */
    started: [counter, sorters, intents, sentiments].flatMap(({ targets }) =>
      targets.map(({ ref }) => ({ type: ref.type, id: ref.id })),
    ),
  }
}
