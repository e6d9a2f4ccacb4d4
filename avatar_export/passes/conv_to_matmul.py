"""1x1 convolutions whose weight is data become matrix products."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from avatar_export.errors import ModelError
from avatar_export.passes.base import Pass, add_initializer, constant, drop_unused


class ConvToMatMul(Pass):
    """Pointwise convolutions with a computed weight, for converters that want constant weights.

    Conv(x [1, C, H, W], w [O, C, 1, 1], b [O])
    becomes
    Reshape(MatMul(Reshape(w, [O, C]), Reshape(x, [C, H * W])), [1, O, H, W]) + b [1, O, 1, 1]
    """

    name = "conv-to-matmul"

    def apply(self, model: ir.Model) -> list[str]:
        changes = []
        for node in list(model.graph):
            if self._applies(node):
                self._rewrite(model, node)
                changes.append(f"{node.name}: became a matrix product")
        drop_unused(model)
        return changes

    def ensures(self, model: ir.Model) -> None:
        for node in model.graph:
            if self._applies(node):
                raise ModelError(f"{self.name}: {node.name} still has a computed weight")

    def _applies(self, node: ir.Node) -> bool:
        if node.op_type != "Conv" or constant(node.inputs[1]) is not None:
            return False
        x, weight = _shape(node.inputs[0]), _shape(node.inputs[1])
        if x is None or weight is None or len(x) != 4 or x[0] != 1 or weight[2:] != (1, 1):
            return False
        plain = {"strides": [1, 1], "pads": [0] * 4, "group": 1}
        return all(_attribute(node, name, value) == value for name, value in plain.items())

    def _rewrite(self, model: ir.Model, node: ir.Node) -> None:
        x, weight = _shape(node.inputs[0]), _shape(node.inputs[1])
        assert x is not None and weight is not None
        pixels = math.prod(x[2:])
        nodes: list[ir.Node] = []

        def make(op: str, *inputs: ir.Value | None, shape: tuple[int, ...]) -> ir.Value:
            made = self.stamp(ir.node(op, inputs, name=f"{node.name}/{op}_{len(nodes)}"), node)
            made.outputs[0].shape = ir.Shape(shape)
            made.outputs[0].type = node.outputs[0].type
            made.outputs[0].name = f"{made.name}_output"
            nodes.append(made)
            return made.outputs[0]

        def reshape(value: ir.Value | None, shape: tuple[int, ...]) -> ir.Value:
            target = add_initializer(model, f"{node.name}/shape", np.array(shape, np.int64))
            return make("Reshape", value, target, shape=shape)

        matrix = reshape(node.inputs[1], weight[:2])
        columns = reshape(node.inputs[0], (x[1], pixels))
        product = make("MatMul", matrix, columns, shape=(weight[0], pixels))
        result = reshape(product, (1, weight[0], *x[2:]))
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            bias = reshape(node.inputs[2], (1, weight[0], 1, 1))
            result = make("Add", result, bias, shape=(1, weight[0], *x[2:]))
        ir.convenience.replace_nodes_and_values(
            model.graph, node, [node], nodes, [node.outputs[0]], [result]
        )


def _shape(value: ir.Value | None) -> tuple[int, ...] | None:
    if value is None or value.shape is None or not value.shape.is_static():
        return None
    return tuple(value.shape.numpy())


def _attribute(node: ir.Node, name: str, default: object) -> object:
    attribute = node.attributes.get(name)
    if attribute is None:
        return default
    value = attribute.value
    return list(value) if isinstance(value, tuple) else value
