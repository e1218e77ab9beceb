"""A small builder of ONNX graphs: named constants once, one method call per node.

Graphs are written by hand instead of traced, so that a step of a tiny model runs no shape arithmetic it does not need, and
so that `present = Concat(past, new)` stays recognisable to the engine that rewrites it.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INT64, FLOAT = TensorProto.INT64, TensorProto.FLOAT
OPSET, IR_VERSION = 17, 8


class Graph:
    def __init__(self):
        self.nodes, self.constants, self.inputs, self.outputs = [], {}, [], []

    def constant(self, name, array):
        """An initializer; the same name is stored once."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def ints(self, *values):
        return self.constant("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def number(self, value, kind=np.float32):
        return self.constant(f"{np.dtype(kind).name}_{value}", np.array(value, kind))

    def input(self, name, kind, shape):
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name, kind, shape):
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def op(self, kind, *inputs, name=None, count=1, **attributes):
        """Adds a node; returns its output name, or a list when count > 1."""
        base = name or f"{kind}_{len(self.nodes)}"
        names = [base] if count == 1 else [f"{base}_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"node_{base}", **attributes))
        return names[0] if count == 1 else names

    def rms_norm(self, x, name, weight, eps):
        square = self.op("Pow", x, self.number(2.0))
        mean = self.op("ReduceMean", square, axes=[-1], keepdims=1)
        root = self.op("Sqrt", self.op("Add", mean, self.number(eps)))
        return self.op("Mul", self.op("Div", x, root), self.constant(name, weight))

    def linear(self, x, name, weight, bias=None, out=None):
        """x @ weight.T (+ bias), weight as torch keeps it: [outputs, inputs]."""
        product = self.op("MatMul", x, self.constant(name, weight.T), name=None if bias is not None else out)
        return product if bias is None else self.op("Add", product, self.constant(f"{name}.bias", bias), name=out)

    def swish_gate(self, joined):
        """silu(first half) * second half."""
        left, right = self.op("Split", joined, axis=-1, count=2)
        return self.op("Mul", self.op("Mul", left, self.op("Sigmoid", left)), right)

    def split_heads(self, x, heads):
        """[B, L, H * d] -> [B, H, L, d]"""
        return self.op("Transpose", self.op("Reshape", x, self.ints(0, 0, heads, -1)), perm=[0, 2, 1, 3])

    def join_heads(self, x):
        return self.op("Reshape", self.op("Transpose", x, perm=[0, 2, 1, 3]), self.ints(0, 0, -1))

    def save(self, path, description):
        graph = helper.make_graph(self.nodes, "pontoon", self.inputs, self.outputs, list(self.constants.values()))
        model = helper.make_model(graph, producer_name="pontoon", doc_string=description,
                                  opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        onnx.save(model, path)
