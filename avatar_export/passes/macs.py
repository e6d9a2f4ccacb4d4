"""Multiply-adds of a model, counted from static shapes."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.macs import OPERATORS, macs


def count_macs(model: ir.Model) -> int:
    """Multiply-adds of all convolutions and matrix products for one run of the graph.

    Nodes whose shapes are unknown count zero: run shape inference first.
    """
    return sum(node_macs(node) for node in model.graph)


def node_macs(node: ir.Node) -> int:
    """Multiply-adds of one node, as ``avatar_export.macs`` counts them."""
    if node.op_type not in OPERATORS:
        return 0
    x, w, y = _shape(node.inputs[0]), _shape(node.inputs[1]), _shape(node.outputs[0])
    if not y:
        return 0
    transposed = node.op_type == "Gemm" and node.attributes.get_int("transA", 0) == 1
    return macs(node.op_type, x, w, y, transposed)


def _shape(value: ir.Value | None) -> tuple[int, ...]:
    if value is None or value.shape is None or not value.shape.is_static():
        return ()
    return tuple(value.shape.numpy())
