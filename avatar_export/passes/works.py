"""Nodes as the cost model sees them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import onnx_ir as ir

from avatar_export.bench.estimate.work import Shape, Work
from avatar_export.passes.macs import node_macs

# Layers that may take over what comes right behind them, and what that may be.
_LAYERS = frozenset({"Add", "BatchNormalization", "Conv", "ConvTranspose", "Gemm"})
_ACTIVATIONS = frozenset(
    {"Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu"}
    | {"Sigmoid", "Softplus", "Tanh"}
)
_SUM = "Add"

_UNKNOWN: Shape = (0,)


def works(nodes: Sequence[ir.Node]) -> list[Work]:
    """What each node does; the nodes may stand in a graph or in none.

    A tensor of unknown shape counts as empty, and a convolution or product of it as no work.
    """
    return [_work(node) for node in nodes]


def _work(node: ir.Node) -> Work:
    computed, weights = [], 0
    for value in node.inputs:
        if value is None:
            continue
        shape = _shape(value)
        if _is_constant(value):
            weights += prod(shape)
        else:
            computed.append(shape)
    channels, groups, spread = _convolution(node)
    return Work(
        kind=_kind(node, channels, groups),
        inputs=tuple(computed),
        outputs=tuple(map(_shape, node.outputs)),
        weights=weights,
        macs=node_macs(node),
        channels=channels,
        groups=groups,
        spread=spread,
        follows=_follows(node, computed),
    )


def _shape(value: ir.Value | None) -> Shape:
    if value is None:
        return _UNKNOWN
    shape = value.shape  # missing on weights that are only proposed
    if shape is None and value.const_value is not None:
        return tuple(value.const_value.shape.numpy())
    if shape is None or not shape.is_static():
        return _UNKNOWN
    return tuple(shape.numpy())


def _is_constant(value: ir.Value) -> bool:
    if value.const_value is not None:
        return not value.is_graph_input()
    producer = value.producer()
    return producer is not None and producer.op_type == "Constant"


def _convolution(node: ir.Node) -> tuple[tuple[int, int], int, int]:
    """Channels, groups and spread of :class:`Work`."""
    if node.op_type not in ("Conv", "ConvTranspose"):
        return (0, 0), 1, 0
    weight = _shape(node.inputs[1])
    groups = node.attributes.get_int("group", 1)
    if len(weight) < 3 or groups < 1:
        return (0, 0), 1, 0
    if node.op_type == "Conv":  # [O, C / groups, ...]
        return (weight[1], weight[0] // groups), groups, 0
    x = _shape(node.inputs[0])  # the weight is [C, O / groups, ...]
    spread = x[0] * groups * prod(weight[1:]) * prod(x[2:])
    return (weight[0] // groups, weight[1]), groups, spread


def _kind(node: ir.Node, channels: tuple[int, int], groups: int) -> str:
    """Name that the rates of a node are listed under."""
    operator = node.op_type
    if operator in ("Resize", "Upsample"):
        nearest = node.attributes.get_string("mode", "nearest") == "nearest"
        return "Resize" if nearest else "LinearResize"
    alone = operator == "Conv" and groups > 1 and channels[0] == 1
    return "DepthwiseConv" if alone else operator


def _follows(node: ir.Node, computed: Sequence[Shape]) -> str:
    """Operator of the layer that may take over the node; empty if none may.

    An activation may be taken over by the layer before it, and a sum of two tensors of one shape
    by one that makes either.
    """
    if node.op_type in _ACTIVATIONS:
        candidates = node.inputs[:1]
    elif node.op_type == _SUM and len(computed) == 2 and computed[0] == computed[1]:
        candidates = node.inputs
    else:
        return ""
    layers = (_layer(value, node) for value in candidates)
    return next((layer for layer in layers if layer), "")


def _layer(value: ir.Value | None, node: ir.Node) -> str:
    """Operator of the layer that makes a value which only ``node`` reads; empty otherwise."""
    layer = None if value is None else value.producer()
    if value is None or layer is None or layer.op_type not in _LAYERS or value.is_graph_output():
        return ""
    others = [use.node for use in value.uses()]
    others.remove(node)  # once: it may read the value twice
    return layer.op_type if node not in others and _alone(node, layer, others) else ""


def _alone(node: ir.Node, layer: ir.Node, others: Sequence[ir.Node]) -> bool:
    """Whether a node will be the only reader of a layer, whoever else reads it now.

    Nodes that are proposed and stand in no graph are no readers of what stands in one. A proposed
    node that reads the graph comes instead of a reader that is there, so it makes that one leave.
    """
    if layer.graph is None:
        return not others
    here = sum(other.graph is not None for other in others)
    return here == 0 if node.graph is not None else here <= 1
