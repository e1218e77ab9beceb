"""Rewrites an fp32 ONNX file into the int8 onnx/model_quantized.onnx.

Embedding tables become int8 with a scale per row and are widened after the look-up. Matrices get a scale per output column.
Decoders multiply integers: activations are quantised with a step measured beforehand on the validation dialogues. A dynamic
step would be taken over the whole batch, so that a row's result depended on its neighbours and on padding; a fixed one is
also cheaper. Their weights keep 7 bits (-63..63): on processors without VNNI, onnxruntime adds pairs of u8 x s8 products in
16 bits, which 8-bit weights overflow. Encoders store int8 and multiply floats (widened once, at load): there size matters,
speed does not, and their results stay those of fp32 to three digits.

    python3 quantize.py barista barista-mini banking-intent finance-sentiment front-desk
"""
import os

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

import corpus
import decoder
from export_onnx import fp32_path
from tokenizer import Tokenizer

INTEGER_LIMIT, STORED_LIMIT = 63, 127
MIDDLE = 128  # the unsigned zero of activations
TABLE_ROWS = 1000  # constants with more rows than this, read by Gather, are embedding tables


def rounded(matrix, axis, limit):
    """int8 values and their scales along the other axis."""
    scale = np.maximum(np.abs(matrix).max(axis=axis, keepdims=True), 1e-8).astype(np.float32) / limit
    return np.clip(np.round(matrix / scale), -limit, limit).astype(np.int8), scale


def activation_steps(name, options):
    """The largest input of every matrix over the validation dialogues, in steps of 1/127; by the matrix's name in the graph."""
    model, largest = decoder.load(name, options.work), {}
    tokenizer = Tokenizer(os.path.join(corpus.MODELS_DIR, name, "tokenizer.json"), "decoder")

    def watch(key, values):
        largest[key] = max(largest.get(key, 0.0), float(values.abs().max()))

    for i, block in enumerate(model.blocks):
        for matrix in ("qkv", "out", "gate_up", "down"):
            getattr(block, matrix).register_forward_pre_hook(lambda _, x, key=f"{matrix}.{i}": watch(key, x[0]))
    model.norm.register_forward_hook(lambda _, x, y: watch("embedding_transposed", y))
    with torch.no_grad():
        for dialogue in corpus.split_dialogues(options.data)["validation"]:
            model(torch.tensor([[decoder.BEGIN, *decoder.encode_dialogue(dialogue, tokenizer)[0]]]))
    return {key: value / 127 for key, value in largest.items()}


class Rewriter:
    def __init__(self, graph, steps):
        self.graph, self.steps, self.nodes, self.quantized = graph, steps, [], {}
        self.limit = INTEGER_LIMIT if steps else STORED_LIMIT
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.transposed = {node.output[0]: node.input[0] for node in graph.node
                           if node.op_type == "Transpose" and node.input[0] in self.constants}

    def array(self, name):
        return numpy_helper.to_array(self.constants[name])

    def is_matrix(self, name):
        return name in self.constants and self.array(name).ndim == 2 and self.array(name).dtype == np.float32

    def put(self, name, array):
        self.constants[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def add(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"node_{output}", **attributes))
        return output

    def stored(self, name, axis):
        """A constant as int8 with its scale, stored once."""
        if f"{name}_int8" not in self.constants:
            values, scale = rounded(self.array(name), axis, self.limit)
            self.put(f"{name}_int8", values)
            self.put(f"{name}_scale", scale)
        return f"{name}_int8", f"{name}_scale"

    def gather(self, node):
        values, scale = self.stored(node.input[0], 1)
        out = node.output[0]
        rows = self.add("Gather", [values, node.input[1]], f"{out}_rows")
        wide = self.add("Cast", [rows], f"{out}_wide", to=TensorProto.FLOAT)
        self.add("Mul", [wide, self.add("Gather", [scale, node.input[1]], f"{out}_scale")], out)

    def matrix(self, name):
        """The int8 matrix [inputs, outputs] and the array of its column scales."""
        if name in self.transposed:  # tied to the embedding: the same rows, turned around at load
            values, scale = self.stored(self.transposed[name], 1)
            return self.add("Transpose", [values], f"{name}_int8", perm=[1, 0]), self.array(scale).reshape(-1)
        values, scale = self.stored(name, 0)
        return values, self.array(scale).reshape(-1)

    def integer_product(self, node):
        x, weight, out = *node.input, node.output[0]
        values, scale = self.matrix(weight)
        step = np.float32(self.steps[weight])
        middle = self.put("middle", np.array(MIDDLE, np.uint8))
        x_u8 = self.add("QuantizeLinear", [x, self.put(f"{weight}_step", step), middle], f"{weight}_input")
        total = self.add("MatMulInteger", [x_u8, values, middle], f"{out}_sum")
        wide = self.add("Cast", [total], f"{out}_wide", to=TensorProto.FLOAT)
        self.add("Mul", [wide, self.put(f"{weight}_factor", scale * step)], out)

    def float_product(self, node):
        x, weight = node.input
        values, scale = self.stored(weight, 0)
        wide = self.add("Cast", [values], f"{weight}_wide", to=TensorProto.FLOAT)
        self.add("MatMul", [x, self.add("Mul", [wide, scale], f"{weight}_float")], node.output[0])

    def run(self):
        product = self.integer_product if self.steps else self.float_product
        for node in self.graph.node:
            if node.op_type == "Gather" and self.is_matrix(node.input[0]) and self.array(node.input[0]).shape[0] > TABLE_ROWS:
                self.gather(node)
            elif node.op_type == "MatMul" and (self.is_matrix(node.input[1]) or node.input[1] in self.transposed):
                product(node)
            elif node.output[0] not in self.transposed:
                self.nodes.append(node)
        used = {name for node in self.nodes for name in node.input}
        constants = [tensor for name, tensor in self.constants.items() if name in used]
        return helper.make_graph(self.nodes, "pontoon_int8", self.graph.input, self.graph.output, constants)


if __name__ == "__main__":
    parser = corpus.arguments(__doc__)
    parser.add_argument("models", nargs="+")
    options = parser.parse_args()
    for name in options.models:
        folder = os.path.join(corpus.MODELS_DIR, name, "onnx")
        model = onnx.load(fp32_path(name, options.work))
        steps = activation_steps(name, options) if name in decoder.SHAPES else None
        model.graph.CopyFrom(Rewriter(model.graph, steps).run())
        onnx.checker.check_model(model)
        onnx.save(model, os.path.join(folder, "model_quantized.onnx"))
        print(f"{name}: {os.path.getsize(os.path.join(folder, 'model_quantized.onnx')) / 1e6:.2f} MB", flush=True)
