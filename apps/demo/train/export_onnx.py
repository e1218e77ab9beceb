"""Writes a trained model as fp32 ONNX, and the configuration files of transformers.js' layout.

    python3 export_onnx.py barista barista-mini
    python3 export_onnx.py banking-intent finance-sentiment front-desk
"""
import json
import math
import os

import numpy as np

import corpus
import decoder
import encoder
from graph import FLOAT, INT64, Graph


def write_json(folder, name, content):
    os.makedirs(os.path.join(folder, "onnx"), exist_ok=True)
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")


def fp32_path(name, work):
    """Decoders ship their fp32 file. Encoders ship int8 only: their fp32 file is scratch, for quantize.py."""
    return os.path.join(corpus.MODELS_DIR, name, "onnx", "model.onnx") if name in decoder.SHAPES else os.path.join(work, f"{name}.onnx")


def numbers(model):
    return {name: weight.detach().numpy() for name, weight in model.named_parameters()}


def decoder_bias(g, mask, ids):
    """0 where query i may read slot j: attention_mask is 1 there and j <= past + i; a large negative number elsewhere."""
    total = g.op("Shape", mask, start=1, end=2)
    fresh = g.op("Shape", ids, start=1, end=2)
    scalar = lambda one: g.op("Squeeze", one, g.ints(0))
    slots = g.op("Range", g.number(0, np.int64), scalar(total), g.number(1, np.int64))
    queries = g.op("Range", scalar(g.op("Sub", total, fresh)), scalar(total), g.number(1, np.int64))
    causal = g.op("LessOrEqual", slots, g.op("Unsqueeze", queries, g.ints(1)))
    present = g.op("Unsqueeze", g.op("Cast", mask, to=9), g.ints(1, 2))
    return g.op("Where", g.op("And", causal, present), g.number(0.0), g.number(-1e9))


def rotate(g, x, cos, sin):
    first, second = g.op("Split", x, axis=-1, count=2)
    return g.op("Concat", g.op("Sub", g.op("Mul", first, cos), g.op("Mul", second, sin)),
                g.op("Add", g.op("Mul", second, cos), g.op("Mul", first, sin)), axis=-1)


def decoder_graph(model):
    shape, w, g = model.shape, numbers(model), Graph()
    head = shape["width"] // shape["heads"]
    ids = g.input("input_ids", INT64, ["batch", "length"])
    mask = g.input("attention_mask", INT64, ["batch", "total"])
    positions = g.input("position_ids", INT64, ["batch", "length"])
    bias = decoder_bias(g, mask, ids)
    cos, sin = (g.op("Unsqueeze", g.op("Gather", g.constant(name, table.numpy()), positions), g.ints(1))
                for name, table in (("cos", model.cos), ("sin", model.sin)))
    table = g.constant("embedding", w["embedding.weight"])
    x = g.op("Gather", table, ids)
    g.output("logits", FLOAT, ["batch", "length", shape["vocab"]])
    for i in range(shape["layers"]):
        of = lambda name: w[f"blocks.{i}.{name}.weight"]
        joined = g.linear(g.rms_norm(x, f"norm1.{i}", of("norm1"), decoder.EPS), f"qkv.{i}", of("qkv"))
        q, k, v = (g.split_heads(part, shape["heads"]) for part in g.op("Split", joined, axis=-1, count=3))
        k = rotate(g, k, cos, sin)
        kept = []
        for kind, new in (("key", k), ("value", v)):
            past = g.input(f"past_key_values.{i}.{kind}", FLOAT, ["batch", shape["heads"], "past", head])
            kept.append(g.op("Concat", past, new, axis=2, name=f"present.{i}.{kind}"))
            g.output(f"present.{i}.{kind}", FLOAT, ["batch", shape["heads"], "total", head])
        q = g.op("Mul", rotate(g, q, cos, sin), g.number(1 / math.sqrt(head)))
        scores = g.op("Add", g.op("MatMul", q, g.op("Transpose", kept[0], perm=[0, 1, 3, 2])), bias)
        mixed = g.join_heads(g.op("MatMul", g.op("Softmax", scores, axis=-1), kept[1]))
        x = g.op("Add", x, g.linear(mixed, f"out.{i}", of("out")))
        gated = g.swish_gate(g.linear(g.rms_norm(x, f"norm2.{i}", of("norm2"), decoder.EPS), f"gate_up.{i}", of("gate_up")))
        x = g.op("Add", x, g.linear(gated, f"down.{i}", of("down")))
    last = g.rms_norm(x, "norm", w["norm.weight"], decoder.EPS)
    g.op("MatMul", last, g.op("Transpose", table, perm=[1, 0], name="embedding_transposed"), name="logits")
    return g


def export_decoder(name, work):
    model, folder = decoder.load(name, work), os.path.join(corpus.MODELS_DIR, name)
    shape = model.shape
    write_json(folder, "config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": shape["vocab"], "hidden_size": shape["width"],
        "intermediate_size": shape["inner"], "num_hidden_layers": shape["layers"], "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["heads"], "head_dim": shape["width"] // shape["heads"], "hidden_act": "silu",
        "max_position_embeddings": shape["positions"], "rms_norm_eps": decoder.EPS, "rope_theta": decoder.ROPE_BASE,
        "tie_word_embeddings": True, "attention_bias": False, "bos_token_id": decoder.BEGIN, "eos_token_id": decoder.END,
        "pad_token_id": decoder.PAD, "use_cache": True})
    write_json(folder, "generation_config.json", {
        "bos_token_id": decoder.BEGIN, "eos_token_id": decoder.END, "pad_token_id": decoder.PAD, "max_new_tokens": 64,
        "do_sample": False})
    decoder_graph(model).save(fp32_path(name, work), f"Pontoon demo: {name}, see README.md")


def masked_softmax(g, x, penalty, axis):
    return g.op("Softmax", g.op("Add", x, penalty), axis=axis)


def encoder_graph(model, with_embedding):
    shape, w, g = model.trunk.shape, numbers(model), Graph()
    of = lambda name: (w[f"trunk.{name}.weight"], w[f"trunk.{name}.bias"])
    layer = lambda x, name: g.linear(x, name, *of(name))
    norm = lambda x, name: g.rms_norm(x, name, w[f"trunk.{name}.weight"], encoder.EPS)
    ids = g.input("input_ids", INT64, ["batch", "length"])
    mask = g.input("attention_mask", INT64, ["batch", "length"])
    keep = g.op("Unsqueeze", g.op("Cast", mask, to=1), g.ints(2))
    penalty = g.op("Mul", g.op("Sub", g.number(1.0), keep), g.number(-1e9))
    x = g.op("Mul", g.op("Gather", g.constant("embedding", w["trunk.embedding.weight"]), ids), keep)

    y = g.op("Mul", norm(x, "norm1"), keep)
    wide = g.op("Pad", y, g.ints(0, 1, 0, 0, 1, 0))
    part = lambda start, end: g.op("Slice", wide, g.ints(start), g.ints(end), g.ints(1))
    around = g.op("Concat", part(0, -2), y, part(2, 2**62), axis=-1)
    x = g.op("Add", x, layer(g.swish_gate(layer(around, "mix")), "mix_out"))

    q, k, v = (g.split_heads(piece, shape["heads"]) for piece in g.op("Split", layer(norm(x, "norm2"), "qkv"), axis=-1, count=3))
    q = g.op("Mul", q, g.number(1 / math.sqrt(shape["width"] / shape["heads"])))
    scores = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
    over_slots = g.op("Unsqueeze", g.op("Transpose", penalty, perm=[0, 2, 1]), g.ints(1))
    x = g.op("Add", x, layer(g.join_heads(g.op("MatMul", masked_softmax(g, scores, over_slots, -1), v)), "attended"))
    x = norm(g.op("Add", x, layer(g.swish_gate(layer(norm(x, "norm3"), "up")), "down")), "norm4")

    total = lambda value: g.op("ReduceSum", value, g.ints(1), keepdims=0)
    count = total(keep)
    mean = g.op("Div", total(g.op("Mul", x, keep)), count)
    looked_at = total(g.op("Mul", x, masked_softmax(g, layer(x, "gaze"), penalty, 1)))
    before = lambda value: g.op("Slice", value, g.ints(0), g.ints(-1), g.ints(1))
    after = lambda value: g.op("Slice", value, g.ints(1), g.ints(2**62), g.ints(1))
    mixed = g.op("Add", g.op("Mul", before(ids), g.number(encoder.HASH_FIRST, np.int64)),
                 g.op("Mul", after(ids), g.number(encoder.HASH_SECOND, np.int64)))
    hashes = g.op("Mod", mixed, g.number(shape["pairs"], np.int64))
    pairs = g.op("Gather", g.constant("pairs", w["trunk.pairs.weight"]), hashes)
    bag = g.op("Div", total(g.op("Mul", pairs, g.op("Mul", before(keep), after(keep)))), g.op("Sqrt", count))
    pooled = g.op("Concat", mean, looked_at, bag, axis=-1)

    hidden = g.linear(pooled, "hidden", w["hidden.weight"], w["hidden.bias"])
    both = g.op("Concat", pooled, g.op("Mul", hidden, g.op("Sigmoid", hidden)), axis=-1)
    g.linear(both, "head", w["head.weight"], w["head.bias"], out="logits")
    g.output("logits", FLOAT, ["batch", w["head.weight"].shape[0]])
    if with_embedding:
        length = g.op("Add", g.op("ReduceL2", mean, axes=[-1], keepdims=1), g.number(1e-9))
        g.op("Div", mean, length, name="sentence_embedding")
        g.output("sentence_embedding", FLOAT, ["batch", shape["width"]])
    return g


def export_encoder(name, work, suffix):
    model, labels = encoder.load(name, work, suffix)
    folder, shape = os.path.join(corpus.MODELS_DIR, name), model.trunk.shape
    write_json(folder, "config.json", {
        "architectures": ["BertForSequenceClassification"], "model_type": "bert", "vocab_size": shape["vocab"],
        "hidden_size": shape["width"], "intermediate_size": shape["inner"], "num_hidden_layers": 1,
        "num_attention_heads": shape["heads"], "max_position_embeddings": encoder.MAX_LENGTH, "pad_token_id": encoder.PAD,
        "id2label": {str(i): label for i, label in enumerate(labels)}, "label2id": {label: i for i, label in enumerate(labels)},
        "transformers.js_config": {"dtype": "q8"}})
    encoder_graph(model, name == "front-desk").save(fp32_path(name, work), f"Pontoon demo: {name}, see README.md")


if __name__ == "__main__":
    parser = corpus.arguments(__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--suffix", default="final", help="which of a classifier's checkpoints: final, trunk, member0, ...")
    options = parser.parse_args()
    for each in options.models:
        if each in decoder.SHAPES:
            export_decoder(each, options.work)
        else:
            export_encoder(each, options.work, options.suffix)
        print(f"exported {each}", flush=True)
