"""Layers with constant numbers that read one tensor in the same way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import constant, fixed_shape
from avatar_export.passes.hoist_activation import activation_after
from avatar_export.passes.site import RefusedError


@dataclass(frozen=True)
class Sibling:
    """A convolution or matrix product, and the activation after it.

    Attributes:
        weight: constant, the output channels first whatever the order in the node.
        bias: one number an output channel; None if the node has none.
        shape: of the result.
        activation: the one reader of the result, if it is an activation.
    """

    node: ir.Node
    weight: np.ndarray
    bias: np.ndarray | None
    shape: tuple[int, ...]
    activation: ir.Node | None

    @classmethod
    def of(cls, node: ir.Node) -> Sibling:
        """Raises a RefusedError for computed numbers and unknown shapes."""
        weight, shape = constant(node.inputs[1]), fixed_shape(node.outputs[0])
        if weight is None:
            raise RefusedError("its weights are computed")
        if shape is None:
            raise RefusedError("its shape is not known")
        if outputs_last(node):
            weight = weight.T
        return cls(node, weight, _bias(node, len(weight)), shape, activation_after(node.outputs[0]))

    @property
    def axis(self) -> int:
        """The axis of the output channels in the result."""
        return len(self.shape) - 1 if self.node.op_type == "MatMul" else 1

    @property
    def activates(self) -> str:
        return "" if self.activation is None else self.activation.op_type

    @property
    def end(self) -> ir.Node:
        """The activation, or the layer itself without one."""
        return self.activation or self.node

    def halved(self) -> Sibling:
        """The same with results half as large."""
        bias = None if self.bias is None else self.bias / 2
        return replace(self, weight=self.weight / 2, bias=bias)


def siblings_of(node: ir.Node) -> list[ir.Node]:
    """Layers that read what ``node`` reads as it does, itself among them, in graph order."""
    how = _reading(node)
    data = node.inputs[0] if node.inputs else None
    if how is None or data is None or node.graph is None:
        return []
    readers = {use.node for use in data.uses() if use.idx == 0}
    found = {reader for reader in readers if _reading(reader) == how}
    return [other for other in node.graph if other in found] if len(found) > 1 else [node]


def _reading(node: ir.Node) -> tuple[object, ...] | None:
    """How a layer reads its input, equal for siblings; None for other operators."""
    weight = fixed_shape(node.inputs[1]) if len(node.inputs) > 1 else None
    if weight is None or node.domain != "":
        return None
    numbers = [constant(value) is not None for value in node.inputs[1:] if value is not None]
    get = node.attributes
    if node.op_type == "Conv":
        rank = len(weight) - 2
        strides, dilations = (get.get_ints(k, [1] * rank) for k in ("strides", "dilations"))
        pads, auto = get.get_ints("pads", [0] * 2 * rank), get.get_string("auto_pad", "NOTSET")
        geometry = [weight[1:], *map(tuple, (strides, dilations, pads)), auto]
        return "Conv", *geometry, get.get_int("group", 1), all(numbers)
    if node.op_type == "Gemm":
        factors = get.get_float("alpha", 1.0), get.get_float("beta", 1.0)
        return "Gemm", get.get_int("transA", 0), factors, all(numbers)
    if node.op_type == "MatMul" and len(weight) == 2:
        return "MatMul", all(numbers)
    return None


def outputs_last(node: ir.Node) -> bool:
    """Whether the output channels are the last axis of the weight."""
    plain = node.op_type == "Gemm" and not node.attributes.get_int("transB", 0)
    return plain or node.op_type == "MatMul"


def _bias(node: ir.Node, channels: int) -> np.ndarray | None:
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is None:
        return None
    bias = constant(value)
    if bias is None:
        raise RefusedError("its bias is computed")
    if prod(bias.shape[:-1]) != 1:
        raise RefusedError("its bias differs from row to row")
    return np.broadcast_to(bias.ravel(), (channels,))
