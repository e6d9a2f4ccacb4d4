"""Questions that cures ask of nodes and values."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.base import constant


def title(node: ir.Node) -> str:
    """What a node is called: its name, or that of its first output."""
    return node.name or (node.outputs[0].name if node.outputs else None) or node.op_type


def rank(value: ir.Value | None) -> int | None:
    """Number of axes, where shapes are known."""
    return None if value is None or value.shape is None else len(value.shape)


def scalar_of(value: ir.Value | None) -> float | None:
    """The number in a constant of one element."""
    numbers = constant(value)
    return float(numbers.reshape(())) if numbers is not None and numbers.size == 1 else None


def made_by(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The node that computes ``value``, if it is one of these operators."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type in op_types else None


def joins_fixed_names(node: ir.Node) -> bool:
    """Whether a node stands between an output of the graph and a tensor that has to keep its name.

    A graph input, another graph output and an initializer have to.
    """
    value = node.inputs[0]
    if value is None or not node.outputs[0].is_graph_output():
        return False
    return value.is_graph_input() or value.is_graph_output() or value.is_initializer()
