"""Writes evaluation.json for evaluate.mjs: held-out texts, tokens as training saw them, and torch's own logits.

    python3 prepare_evaluation.py        # into --work; nothing of it is committed
"""
import json
import os

import torch

import corpus
import decoder
import encoder
from make_front_desk_test import rows as front_desk_rows
from tasks import TASKS, task
from tokenizer import Tokenizer, decoder_texts, encoder_texts

SAMPLE = 40  # texts whose torch logits are compared with the ONNX file's


def token_samples(kind, name, texts):
    tokenizer = Tokenizer(os.path.join(corpus.MODELS_DIR, name, "tokenizer.json"), kind)
    rng = corpus.seeded("token-samples")
    texts = sorted({variant for text in texts for variant in (text, corpus.sloppy(text, rng))})
    return {"model": name, "texts": texts, "ids": [tokenizer.encode(text) for text in texts]}


def decoder_case(name, options):
    tokenizer = Tokenizer(os.path.join(corpus.MODELS_DIR, name, "tokenizer.json"), "decoder")
    test, model = corpus.split_dialogues(options.data)["test"], decoder.load(name, options.work)
    encoded = [[decoder.BEGIN, *decoder.encode_dialogue(dialogue, tokenizer)[0]] for dialogue in test]
    with torch.no_grad():
        logits = [model(torch.tensor([ids]))[0, -1].tolist() for ids in encoded[:SAMPLE]]
    return {"model": name, "dialogues": [[{"speaker": speaker, "text": text} for speaker, text in dialogue] for dialogue in test],
            "ids": encoded, "lastLogits": logits}


def encoder_case(name, options):
    model, _ = encoder.load(name, options.work, options.suffix)
    tokenizer = Tokenizer(os.path.join(corpus.MODELS_DIR, name, "tokenizer.json"), "encoder")
    test = front_desk_rows(options.data) if name == "front-desk" else task(name, options.data)["test"]
    texts = [text for text, _ in test]
    case = {"model": name, "rows": as_rows(test), "logits": encoder.logits_of(model, texts[:SAMPLE], tokenizer).tolist()}
    if name == "front-desk":
        train, _, queries = corpus.banking(options.data)
        case["neighbours"] = {"known": as_rows(train), "queries": as_rows(queries)}
    return case


def as_rows(pairs):
    return [{"text": text, "label": label} for text, label in pairs]


if __name__ == "__main__":
    parser = corpus.arguments(__doc__)
    parser.add_argument("--suffix", default="final", help="which of the classifiers' checkpoints: final, trunk, member0, ...")
    options = parser.parse_args()
    coffee = [text for part in corpus.split_dialogues(options.data).values() for dialogue in part for _, text in dialogue]
    held = [text for name in TASKS for part in ("validation", "test") for text, _ in task(name, options.data)[part]]
    content = {
        "tokens": [token_samples("decoder", "barista", [*decoder_texts(options.data), *coffee]),
                   token_samples("encoder", "front-desk", [*encoder_texts(options.data), *held])],
        "decoders": [decoder_case(name, options) for name in decoder.SHAPES],
        "encoders": [encoder_case(name, options) for name in TASKS],
    }
    with open(os.path.join(options.work, "evaluation.json"), "w", encoding="utf-8") as file:
        json.dump(content, file)
    print("wrote", file.name)
