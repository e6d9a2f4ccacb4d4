"""Matrix products with constant numbers, however they are spelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from avatar_export.passes.base import constant, fixed_shape, only_consumer
from avatar_export.passes.site import Sketch

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """MatMul, MatMul and Add, or Gemm: x [..., K] -> x W + b [..., N].

    Attributes:
        nodes: in order.
        raw_weight: the second operand as it is stored.
        transposed: whether a Gemm reads x as [K, M].
    """

    nodes: tuple[ir.Node, ...]
    raw_weight: np.ndarray
    raw_bias: np.ndarray | None
    transposed: bool = False

    @property
    def x(self) -> ir.Value:
        value = self.nodes[0].inputs[0]
        assert value is not None
        return value

    @property
    def output(self) -> ir.Value:
        return self.nodes[-1].outputs[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        shape = fixed_shape(self.output)
        assert shape is not None
        return shape

    @property
    def is_gemm(self) -> bool:
        return self.nodes[0].op_type == "Gemm"

    @property
    def weight(self) -> Numbers:
        """W [K, N], with the factor alpha of a Gemm in it."""
        attributes = self.nodes[0].attributes
        weight = self.raw_weight.astype(np.float64) * attributes.get_float("alpha", 1.0)
        return weight.T if attributes.get_int("transB", 0) else weight

    @property
    def bias(self) -> Numbers | None:
        """b, of a shape that broadcasts to the result, with the factor beta of a Gemm in it."""
        if self.raw_bias is None:
            return None
        beta = self.nodes[0].attributes.get_float("beta", 1.0)
        return np.atleast_1d(self.raw_bias.astype(np.float64)) * beta


def linear(node: ir.Node) -> Linear | None:
    """The matrix product that starts in ``node``; None if its numbers or shapes are not constant.

    An Add of constant numbers belongs to a MatMul if nobody else reads the product.
    """
    if node.domain or node.op_type not in ("MatMul", "Gemm"):
        return None
    weight, shape = constant(node.inputs[1]), fixed_shape(node.outputs[0])
    x_shape = fixed_shape(node.inputs[0])
    if weight is None or weight.ndim != 2 or weight.dtype.kind != "f" or not (shape and x_shape):
        return None
    if len(x_shape) < 2:
        return None
    if node.op_type == "Gemm":
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        numbers = constant(bias)
        if bias is not None and numbers is None:
            return None
        return Linear((node,), weight, numbers, bool(node.attributes.get_int("transA", 0)))
    add = only_consumer(node.outputs[0])
    numbers = _added(add, node.outputs[0]) if add is not None else None
    return Linear((node,) if numbers is None else (node, add), weight, numbers)  # type: ignore[arg-type]


def linear_of(value: ir.Value | None) -> Linear | None:
    """The matrix product whose result, bias included, is ``value``."""
    node = value.producer() if value is not None else None
    if node is not None and node.op_type == "Add" and not node.domain:
        made = (v.producer() for v in node.inputs if v is not None)
        node = next((n for n in made if n is not None and n.op_type == "MatMul"), None)
    found = linear(node) if node is not None else None
    return found if found is not None and found.output is value else None


def write_linear(
    sketch: Sketch,
    x: ir.Value,
    numbers: tuple[np.ndarray, np.ndarray | None],
    shape: Sequence[int],
    gemm: bool,
    transposed: bool = False,
) -> ir.Value:
    """x W + b as new nodes: Gemm, as PyTorch exports it (W stored [N, K]), or MatMul and Add.

    Args:
        numbers: W [K, N] and b, or None, in the type in which they are stored.
        shape: of the result.
        gemm: write a Gemm; the result has two axes then.
        transposed: x is [K, M]; for a Gemm only.
    """
    weight, bias = numbers
    if gemm:
        if bias is None:  # which may only be left out from operator set 11 on
            bias = np.zeros(weight.shape[1], weight.dtype)
        inputs = [x, sketch.weight("weight", weight.T), sketch.weight("bias", bias)]
        return sketch.put("Gemm", inputs, shape, transA=int(transposed), transB=1)
    product = sketch.put("MatMul", [x, sketch.weight("weight", weight)], shape)
    if bias is None:
        return product
    return sketch.put("Add", [product, sketch.weight("bias", bias)], shape, "_bias")


def reshaped(sketch: Sketch, value: ir.Value, shape: Sequence[int], suffix: str) -> ir.Value:
    """``value`` in another shape of as many elements; itself if it has that shape."""
    if fixed_shape(value) == tuple(shape):
        return value
    target = sketch.weight("shape", np.array(shape, np.int64))
    return sketch.put("Reshape", [value, target], shape, suffix)


def _added(add: ir.Node, product: ir.Value) -> np.ndarray | None:
    """Constant numbers that an Add adds to ``product`` without changing its shape."""
    if add.op_type != "Add" or add.domain:
        return None
    if fixed_shape(add.outputs[0]) != fixed_shape(product):
        return None
    return constant(add.inputs[1] if add.inputs[0] is product else add.inputs[0])
