"""Convolutions with constant numbers, and what two of them in a row amount to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from avatar_export.passes.base import constant, fixed_shape
from avatar_export.passes.site import RefusedError

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Convolution:
    """A Conv node, [B, I, ...] -> [B, O, ...], with a constant weight [O, I / groups, kernel]."""

    node: ir.Node
    raw_weight: np.ndarray
    raw_bias: np.ndarray | None

    @property
    def nodes(self) -> tuple[ir.Node]:
        return (self.node,)

    @property
    def x(self) -> ir.Value:
        value = self.node.inputs[0]
        assert value is not None
        return value

    @property
    def output(self) -> ir.Value:
        return self.node.outputs[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        shape = fixed_shape(self.output)
        assert shape is not None
        return shape

    @property
    def weight(self) -> Numbers:
        return self.raw_weight.astype(np.float64)

    @property
    def bias(self) -> Numbers | None:
        return None if self.raw_bias is None else self.raw_bias.astype(np.float64)

    @property
    def kernel(self) -> tuple[int, ...]:
        return self.raw_weight.shape[2:]

    @property
    def groups(self) -> int:
        return int(self.node.attributes.get_int("group", 1))

    @property
    def explicit(self) -> bool:
        """Whether the padding is written in numbers."""
        return self.node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"

    @property
    def is_pointwise(self) -> bool:
        """Whether each pixel of the result depends on one pixel of x (strides may skip some)."""
        return self.explicit and set(self.kernel) == {1} and not any(self.pads)

    @property
    def pads(self) -> Sequence[int]:
        return self._ints("pads", [0, 0])

    @property
    def strides(self) -> Sequence[int]:
        return self._ints("strides", [1])

    @property
    def dilations(self) -> Sequence[int]:
        return self._ints("dilations", [1])

    def _ints(self, name: str, default: list[int]) -> Sequence[int]:
        """An attribute; ``default`` is its value for one spatial axis."""
        return self.node.attributes.get_ints(name, None) or default * len(self.kernel)


def convolution(node: ir.Node) -> Convolution | None:
    """``node`` as a convolution; None if its numbers or the shape of its result are computed."""
    if node.op_type != "Conv" or node.domain or not fixed_shape(node.outputs[0]):
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    weight, numbers = constant(node.inputs[1]), constant(bias)
    if weight is None or weight.ndim < 3 or (bias is not None and numbers is None):
        return None
    return Convolution(node, weight, numbers)


def merged_numbers(first: Convolution, second: Convolution) -> tuple[Numbers, Numbers | None]:
    """Weight and bias of the convolution that does what two in a row do, one of them 1x1.

    Raises:
        RefusedError: there is no such convolution.
    """
    if first.groups != 1 or second.groups != 1:
        raise RefusedError("a convolution in groups")
    if not (first.explicit and second.explicit):
        raise RefusedError("padding that is not written in numbers")
    if second.is_pointwise:
        mixing = second.weight.reshape(second.weight.shape[:2])
        return np.tensordot(mixing, first.weight, 1), _passed_on(mixing, first, second)
    if any(stride != 1 for stride in first.strides):
        raise RefusedError("the 1x1 convolution before a larger one has strides")
    if any(second.pads) and first.bias is not None and first.bias.any():
        raise RefusedError("beyond the border the second layer sees 0, not the bias of the first")
    matrix = first.weight.reshape(first.weight.shape[:2])
    weight = np.moveaxis(np.tensordot(second.weight, matrix, (1, 0)), -1, 1)
    taps = second.weight.reshape(*second.weight.shape[:2], -1).sum(2)
    return weight, _passed_on(taps, first, second)


def merged_attributes(first: Convolution, second: Convolution) -> dict[str, Any]:
    """Attributes of that convolution."""
    larger = first if second.is_pointwise else second
    strides = [a * b for a, b in zip(first.strides, second.strides, strict=True)]
    return {
        "kernel_shape": larger.kernel,
        "pads": larger.pads,
        "dilations": larger.dilations,
        "strides": strides,
    }


def _passed_on(mixing: Numbers, first: Convolution, second: Convolution) -> Numbers | None:
    """The bias: what becomes of the first one's, and the second one's."""
    if first.bias is None:
        return second.bias
    passed: Numbers = mixing @ first.bias
    return passed if second.bias is None else passed + second.bias
