"""Multiply-adds of a model, counted from static shapes."""

from __future__ import annotations

import math

import onnx_ir as ir


def count_macs(model: ir.Model) -> int:
    """Multiply-adds of all convolutions and matrix products for one run of the graph.

    Norms, activations, resizing, and sampling are not counted, as is usual. Nodes whose shapes
    are unknown count zero: run shape inference first.
    """
    return sum(node_macs(node) for node in model.graph)


def node_macs(node: ir.Node) -> int:
    """Multiply-adds of one node.

    A convolution does C_in / groups * kernel of them for each number it writes; a transposed
    convolution O / groups * kernel for each number it reads; a matrix product K for each number
    it writes.
    """
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    x, w, y = _shape(node.inputs[0]), _shape(node.inputs[1]), _shape(node.outputs[0])
    if not x or not w or not y:
        return 0
    if node.op_type == "Conv":
        return math.prod(y) * math.prod(w[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(x) * math.prod(w[1:])
    transposed = node.op_type == "Gemm" and node.attributes.get_int("transA", 0) == 1
    return math.prod(y) * (x[-2] if transposed else x[-1])


def _shape(value: ir.Value | None) -> tuple[int, ...]:
    if value is None or value.shape is None or not value.shape.is_static():
        return ()
    return tuple(value.shape.numpy())
