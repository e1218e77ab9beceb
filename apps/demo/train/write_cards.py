"""Writes each model's README.md from figures.json, so that a card can only quote what evaluate.mjs measured.

    python3 write_cards.py
"""
import json
import os

import corpus

CITATIONS = {
    "taskmaster": "- Taskmaster-4 (coffee orders), Google, [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/), "
                  "[google-research-datasets/Taskmaster](https://github.com/google-research-datasets/Taskmaster) TM-4-2024, "
                  "[arXiv:2403.10704](https://arxiv.org/abs/2403.10704).",
    "banking": "- BANKING77, PolyAI, [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/), "
               "[PolyAI-LDN/task-specific-datasets](https://github.com/PolyAI-LDN/task-specific-datasets), "
               "[arXiv:2003.04807](https://arxiv.org/abs/2003.04807).",
    "clinc": "- CLINC150, Larson et al. 2019, [CC BY 3.0](https://creativecommons.org/licenses/by/3.0/), "
             "[clinc/oos-eval](https://github.com/clinc/oos-eval).",
    "finance": "- zeroshot/twitter-financial-news-sentiment, MIT by its model-hub card, "
               "taken from umaima-aman/Twee_Sentiment_Analysis-DeepLearning.",
}
DECODER_FORMAT = """Special tokens: `<|begin|>` 0 (bos), `<|user|>` 1, `<|agent|>` 2, `<|end|>` 3 (eos), `<|pad|>` 4. A conversation is
`<|begin|><|user|>text<|end|><|agent|>text<|end|>...`; `chat_template` in tokenizer_config.json writes it (system messages are
left out). Inputs: `input_ids`, `attention_mask`, `position_ids` (int64), `past_key_values.{i}.key|value` (float32,
`[batch, 4, past, %d]`); outputs: `logits` for every position and `present.{i}.key|value` = past and new rows, concatenated.
The mask may have holes and positions are per row, so rows of unlike length share a batch. Positions end at 511.
"""
ENCODER_FORMAT = """Inputs: `input_ids`, `attention_mask` (int64, `[batch, length]`, any padding side; no token_type_ids); output: `logits`
`[batch, %d]`%s. tokenizer.json lower-cases, straightens quotes, collapses links and puts `<|cls|>` in front: pass raw text.
Truncate at 128 tokens (longer input runs, but training never saw it). Only `onnx/model_quantized.onnx` is shipped (dtype `q8`,
which config.json names as the default for transformers.js).
"""


def pair(part):
    return f"{part['perplexity']:.3f} ({part['bitsPerByte']:.3f} bits per byte, {part['tokens']} tokens)"


def decoder_card(name, title, story, width, figures):
    files = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}
    rows = "\n".join(
        f"| `{files[kind]}` ({kind}) | {figures[kind]['megabytes']} MB | {pair(figures[kind]['agentTurns'])} | {pair(figures[kind]['allTurns'])} |"
        for kind in files)
    return f"""# {name}: {title}

{story}

## Measured

{figures['heldOutDialogues']} held-out Taskmaster dialogues (5 %, split by content, none of them in training), as they are, no augmentation.
Perplexity per token, the closing `<|end|>` included; bits per byte of the text.

| file | size | agents' turns | all turns |
|---|---|---|---|
{rows}

ONNX against torch, largest difference of a logit: fp32 {figures['fp32']['differenceFromTorch']}, int8 {figures['int8']['differenceFromTorch']}.
Three rows of unlike length in one cache with holes, against each row alone: fp32 {figures['fp32']['differenceRaggedCache']}, int8
{figures['int8']['differenceRaggedCache']}. In int8 each row's result is independent of its neighbours, because the step of its
activations is fixed beforehand (quantize.py).

## Format

{DECODER_FORMAT % width}
## Data, licence, attribution

{CITATIONS['taskmaster']}
- Off-topic questions in house_rules.py come from the training rows of front-desk: BANKING77, CLINC150 and the finance
  headlines, as named in ../front-desk/README.md. The answers there were written for this project.

Changes: quotes straightened, duplicates removed, customers' turns also typed sloppily. No text of the data is in this folder.

## Limits

A demonstration of durable actors, not a product. It knows one coffee counter, mostly asks whether the order on the screen is
right (as its data do), keeps no order, sets no price, can be wrong about what is in a
drink, answers some off-topic questions with a fact about a drink, and sometimes takes a correction for a yes: send it coffee
messages only. English only. Text that
contains a special token's name is read as that token: strip `<|` from what users type.
"""


def encoder_card(name, title, story, limits, sources, figures, extra_output=""):
    test = figures["test"]
    by_label = "".join(f"\n| F1 {label} | {value:.4f} |" for label, value in (test.get("f1ByLabel") or {}).items())
    return f"""# {name}: {title}

{story}

## Measured

On `onnx/model_quantized.onnx` ({figures['megabytes']} MB), through onnxruntime-node, {test['rows']} test rows that no training or choosing saw:

| | |
|---|---|
| accuracy | {test['accuracy']:.4f} |
| macro F1 | {test['macroF1']:.4f} |{by_label}

Largest difference of a logit: {figures['differenceFromTorch']} from torch's fp32 model (weights are int8, sums are fp32),
{figures['differencePadding']} between a text alone and padded beside a longer one.

## Format

{ENCODER_FORMAT % (figures['classes'], extra_output)}
## Data, licence, attribution

{chr(10).join(CITATIONS[source] for source in sources)}

Changes: quotes straightened, links collapsed, texts also typed sloppily and spliced. No text of the data is in this folder.

## Intended use and limits

{limits} English only; a demonstration, not a product. A confident answer is no proof: probabilities are not calibrated.

Seed {corpus.SEED}; recipe and comparison of recipes: ../../train/RESULTS.md.
"""


DECODER_RECIPE = "Byte-level BPE of 2,048 tokens learnt from the training dialogues. Seed %d." % corpus.SEED


def front_desk_neighbours(figures):
    part = figures["nearestNeighbour"]
    return (f"\n`sentence_embedding`: the nearest of {part['known']} known banking questions has the right one of 77 intents for "
            f"{100 * part['accuracy']:.1f} % of {part['queries']} test questions.")


def cards(figures):
    models = figures["models"]
    yield "barista", decoder_card(
        "barista", "the coffee counter's clerk",
        "A llama-architecture decoder of 2.49 million parameters (width 256, 3 layers, 4 heads, inner 512, RoPE, tied embeddings),\n"
        "trained from scratch on Taskmaster-4's coffee orders: 14 epochs on orders alone, then 13 short ones with dialogues\n"
        "of house_rules.py mixed in (greetings, thanks, prices, off-topic). " + DECODER_RECIPE, 64, models["barista"])
    yield "barista-mini", decoder_card(
        "barista-mini", "the small stand-in",
        "The same architecture and tokenizer with 0.42 million parameters (width 96, 2 layers, 4 heads, inner 256), distilled\n"
        "from barista's first stage. Meant as the fallback that still answers when the larger one is slow or down. " + DECODER_RECIPE, 24,
        models["barista-mini"])
    yield "banking-intent", encoder_card(
        "banking-intent", "which of 77 banking questions is this?",
        "A net of 2.7 million parameters (most of them sub-word and word-pair embeddings; one gated convolution, one attention\n"
        "layer), taught by linear models and by two nets on 40,000 invented texts. The bar was a linear SVM on word and character\n"
        "n-grams: 0.9091 accuracy on the same test (0.9097 when it learns the validation rows too).",
        "Short questions to an online bank. It has no class for anything else: ask front-desk first.",
        ("banking", "clinc", "finance", "taskmaster"), models["banking-intent"])
    yield "finance-sentiment", encoder_card(
        "finance-sentiment", "is this headline bearish, bullish or neutral?",
        "The same net as banking-intent with three labels: 0 bearish, 1 bullish, 2 neutral. A linear SVM on word and character\n"
        "n-grams has 0.8459 accuracy and 0.7810 macro F1 on the same test: on headlines the net does no better than that.",
        "Short news items in the manner of 2019-2020 stock feeds. Not financial advice, and no judgement of truth.",
        ("finance", "banking", "clinc", "taskmaster"), models["finance-sentiment"])
    yield "front-desk", encoder_card(
        "front-desk", "coffee, banking, finance, or something else?",
        "Sends a customer's first message to the right desk, and gives a sentence embedding for routing by similarity. The same net\n"
        "as banking-intent, as it comes from training on all tasks at once. The test set is that of train/make_front_desk_test.py:\n"
        "its 990 out-of-scope questions are the hard part, and meant to be.\n" + front_desk_neighbours(models["front-desk"]),
        "First messages. Bare assents and greetings go to `other`: within a conversation, do not ask the desk again. Honesty about\n"
        "the test set: a first version scored 0.9463 / 0.9249; its confusions were then looked at, and the biases of coffee and\n"
        "finance lowered by what is best on validation (RESULTS.md).",
        ("taskmaster", "banking", "clinc", "finance"), models["front-desk"],
        " and `sentence_embedding` `[batch, 160]`, L2-normalised")


if __name__ == "__main__":
    with open(os.path.join(corpus.TRAIN_DIR, "figures.json"), encoding="utf-8") as file:
        measured = json.load(file)
    for name, text in cards(measured):
        with open(os.path.join(corpus.MODELS_DIR, name, "README.md"), "w", encoding="utf-8") as file:
            file.write(text)
        print("wrote", name)
