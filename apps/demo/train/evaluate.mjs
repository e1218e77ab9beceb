// Measures the shipped ONNX files with onnxruntime-node and @huggingface/tokenizers, which is what serves them.
// Checks: training tokens = serving tokens; ONNX logits = torch logits; padding and ragged caches change nothing.
// Figures go to figures.json beside this file; the model cards quote them.
//
//   node evaluate.mjs [--evaluation .scratch/evaluation.json] [--models ../models]
import { readFileSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { Tokenizer } from "@huggingface/tokenizers"
import { InferenceSession, Tensor } from "onnxruntime-node"

const here = dirname(fileURLToPath(import.meta.url))
const { values: options } = parseArgs({
  options: {
    evaluation: { type: "string", default: join(here, ".scratch/evaluation.json") },
    models: { type: "string", default: join(here, "../models") },
    figures: { type: "string", default: join(here, "figures.json") },
  },
})
const evaluation = JSON.parse(readFileSync(options.evaluation, "utf8"))
const [BEGIN, USER, AGENT, END] = [0, 1, 2, 3]

const readJson = (model, file) => JSON.parse(readFileSync(join(options.models, model, file), "utf8"))
const tokenizerOf = (model) => new Tokenizer(readJson(model, "tokenizer.json"), readJson(model, "tokenizer_config.json"))
const fileOf = (model, file) => join(options.models, model, "onnx", file)
const sessionOf = (model, file) => InferenceSession.create(fileOf(model, file), { intraOpNumThreads: 1 })
const int64 = (rows) => new Tensor("int64", BigInt64Array.from(rows.flat(), BigInt), [rows.length, rows[0].length])
const round = (value, digits = 4) => Number(value.toFixed(digits))
const megabytes = (path) => round(statSync(path).size / 1e6, 2)

function largestDifference(a, b) {
  let largest = 0
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i] - b[i]))
  return largest
}

function checkTokens({ model, texts, ids }) {
  const tokenizer = tokenizerOf(model)
  const wrong = texts.filter((text, i) => {
    const encoded = tokenizer.encode(text, { add_special_tokens: false }).ids
    return encoded.length !== ids[i].length || encoded.some((id, at) => id !== ids[i][at])
  })
  return { texts: texts.length, different: wrong.length, examples: wrong.slice(0, 3) }
}

// ---- decoders

function emptyPast(config, batch) {
  const heads = config.num_key_value_heads
  const past = {}
  for (let i = 0; i < config.num_hidden_layers; i++)
    for (const kind of ["key", "value"])
      past[`past_key_values.${i}.${kind}`] = new Tensor("float32", new Float32Array(0), [batch, heads, 0, config.head_dim])
  return past
}

function runWhole(session, config, ids) {
  return session.run({
    input_ids: int64([ids]),
    attention_mask: int64([ids.map(() => 1)]),
    position_ids: int64([ids.map((_, i) => i)]),
    ...emptyPast(config, 1),
  })
}

function lossAt(logits, row, vocabulary, target) {
  const scores = logits.subarray(row * vocabulary, (row + 1) * vocabulary)
  const largest = scores.reduce((a, b) => Math.max(a, b))
  let sum = 0
  for (const score of scores) sum += Math.exp(score - largest)
  return largest + Math.log(sum) - scores[target]
}

/** Loss over what follows each speaker mark, the closing <|end|> included; bytes are those of the text alone. */
async function perplexity(session, config, tokenizer, dialogues) {
  const sums = { agent: { loss: 0, tokens: 0, bytes: 0 }, user: { loss: 0, tokens: 0, bytes: 0 } }
  for (const dialogue of dialogues) {
    const ids = [BEGIN]
    const owners = [null]
    for (const { speaker, text } of dialogue) {
      const turn = [...tokenizer.encode(text, { add_special_tokens: false }).ids, END]
      ids.push(speaker === "agent" ? AGENT : USER, ...turn)
      owners.push(null, ...turn.map(() => speaker))
      sums[speaker].bytes += Buffer.byteLength(text)
    }
    const { logits } = await runWhole(session, config, ids)
    for (let i = 1; i < ids.length; i++) {
      if (owners[i] === null) continue
      sums[owners[i]].loss += lossAt(logits.data, i - 1, config.vocab_size, ids[i])
      sums[owners[i]].tokens += 1
    }
  }
  const of = ({ loss, tokens, bytes }) => ({
    perplexity: round(Math.exp(loss / tokens), 3),
    bitsPerByte: round(loss / Math.LN2 / bytes, 3),
    tokens,
  })
  const all = { loss: 0, tokens: 0, bytes: 0 }
  for (const part of Object.values(sums)) for (const key of Object.keys(all)) all[key] += part[key]
  return { agentTurns: of(sums.agent), allTurns: of(all) }
}

/** Two rows of unlike length in one cache with holes full of rubbish, against each row run whole on its own. */
async function raggedDifference(session, config, rows, fresh) {
  const capacity = Math.max(...rows.map((ids) => ids.length)) + 5
  const whole = await Promise.all(rows.map((ids) => runWhole(session, config, ids)))
  const cached = await Promise.all(rows.map((ids) => runWhole(session, config, ids.slice(0, -fresh))))
  const { num_key_value_heads: heads, head_dim: width } = config
  const feeds = {}
  for (const name of Object.keys(emptyPast(config, 1))) {
    const data = new Float32Array(rows.length * heads * capacity * width).fill(7)
    cached.forEach((outputs, row) => {
      const present = outputs[name.replace("past_key_values", "present")]
      const length = present.dims[2]
      for (let head = 0; head < heads; head++)
        data.set(present.data.subarray(head * length * width, (head + 1) * length * width), (row * heads + head) * capacity * width)
    })
    feeds[name] = new Tensor("float32", data, [rows.length, heads, capacity, width])
  }
  feeds.input_ids = int64(rows.map((ids) => ids.slice(-fresh)))
  feeds.position_ids = int64(rows.map((ids) => ids.map((_, i) => i).slice(-fresh)))
  feeds.attention_mask = int64(
    rows.map((ids) => Array.from({ length: capacity + fresh }, (_, slot) => (slot < ids.length - fresh || slot >= capacity ? 1 : 0))),
  )
  const { logits } = await session.run(feeds)
  const size = config.vocab_size * fresh
  return Math.max(...whole.map((outputs, row) => largestDifference(outputs.logits.data.slice(-size), logits.data.slice(row * size, (row + 1) * size))))
}

async function evaluateDecoder({ model, dialogues, ids, lastLogits }) {
  const config = readJson(model, "config.json")
  const tokenizer = tokenizerOf(model)
  const figures = {}
  for (const [dtype, file] of [["fp32", "model.onnx"], ["int8", "model_quantized.onnx"]]) {
    const session = await sessionOf(model, file)
    let difference = 0
    for (let i = 0; i < lastLogits.length; i++) {
      const { logits } = await runWhole(session, config, ids[i])
      difference = Math.max(difference, largestDifference(logits.data.slice(-config.vocab_size), lastLogits[i]))
    }
    figures[dtype] = {
      megabytes: megabytes(fileOf(model, file)),
      differenceFromTorch: round(difference, 6),
      differenceRaggedCache: round(await raggedDifference(session, config, [ids[0], ids[5], ids[9]], 4), 6),
      ...(await perplexity(session, config, tokenizer, dialogues)),
    }
  }
  return { heldOutDialogues: dialogues.length, ...figures }
}

// ---- classifiers

async function classify(session, encoded) {
  const length = Math.max(...encoded.map((ids) => ids.length))
  const fill = (ids, value) => [...ids, ...Array(length - ids.length).fill(value)]
  return session.run({
    input_ids: int64(encoded.map((ids) => fill(ids, 0))),
    attention_mask: int64(encoded.map((ids) => fill(ids.map(() => 1), 0))),
  })
}

function scores(truth, predicted, labels) {
  const right = truth.filter((label, i) => label === predicted[i]).length
  const perLabel = labels.map((label) => {
    const hits = truth.filter((one, i) => one === label && predicted[i] === label).length
    const said = predicted.filter((one) => one === label).length
    const wanted = truth.filter((one) => one === label).length
    return { label, f1: said + wanted === 0 ? 0 : (2 * hits) / (said + wanted) }
  })
  const macroF1 = perLabel.reduce((sum, { f1 }) => sum + f1, 0) / labels.length
  const f1ByLabel = labels.length < 10 ? Object.fromEntries(perLabel.map(({ label, f1 }) => [label, round(f1)])) : undefined
  return { rows: truth.length, accuracy: round(right / truth.length), macroF1: round(macroF1), f1ByLabel }
}

async function evaluateEncoder({ model, rows, logits: torchLogits }) {
  const config = readJson(model, "config.json")
  const tokenizer = tokenizerOf(model)
  const labels = Object.values(config.id2label)
  const session = await sessionOf(model, "model_quantized.onnx")
  const predicted = []
  let fromTorch = 0
  let fromPadding = 0
  const long = tokenizer.encode("a rather long neighbour ".repeat(16)).ids
  const began = performance.now()
  for (const { text } of rows) {
    const ids = tokenizer.encode(text).ids.slice(0, config.max_position_embeddings)
    const { logits } = await classify(session, [ids])
    const at = predicted.length
    if (at < torchLogits.length) {
      const padded = await classify(session, [long, ids])
      fromTorch = Math.max(fromTorch, largestDifference(logits.data, torchLogits[at]))
      fromPadding = Math.max(fromPadding, largestDifference(logits.data, padded.logits.data.slice(labels.length)))
    }
    predicted.push(labels[logits.data.indexOf(Math.max(...logits.data))])
  }
  return {
    classes: labels.length,
    megabytes: megabytes(fileOf(model, "model_quantized.onnx")),
    differenceFromTorch: round(fromTorch, 6),
    differencePadding: round(fromPadding, 6),
    millisecondsPerText: round((performance.now() - began) / rows.length, 3),
    test: scores(rows.map(({ label }) => label), predicted, labels),
  }
}

/** How often the nearest known banking question, by sentence_embedding, has the intent of the question asked. */
async function nearestNeighbourAccuracy(model, { known, queries }) {
  const tokenizer = tokenizerOf(model)
  const session = await sessionOf(model, "model_quantized.onnx")
  const embed = async ({ text }) => (await classify(session, [tokenizer.encode(text).ids.slice(0, 128)])).sentence_embedding.data
  const base = []
  for (const row of known) base.push(await embed(row))
  let right = 0
  for (const row of queries) {
    const vector = await embed(row)
    let best = [-2, ""]
    base.forEach((other, i) => {
      let product = 0
      for (let d = 0; d < vector.length; d++) product += vector[d] * other[d]
      if (product > best[0]) best = [product, known[i].label]
    })
    if (best[1] === row.label) right += 1
  }
  return { known: known.length, queries: queries.length, accuracy: round(right / queries.length) }
}

const figures = { tokens: {}, models: {} }
for (const sample of evaluation.tokens) figures.tokens[sample.model] = checkTokens(sample)
for (const one of evaluation.decoders) figures.models[one.model] = await evaluateDecoder(one)
for (const one of evaluation.encoders) {
  figures.models[one.model] = await evaluateEncoder(one)
  if (one.neighbours) figures.models[one.model].nearestNeighbour = await nearestNeighbourAccuracy(one.model, one.neighbours)
}
writeFileSync(options.figures, `${JSON.stringify(figures, null, 2)}\n`)
console.log(JSON.stringify(figures, null, 2))
