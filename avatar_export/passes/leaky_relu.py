"""The many ways to write a leaky ReLU become the operator of that name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import constant, fixed_shape
from avatar_export.passes.site import Proposal, RefusedError, SitePass, Sketch

# Operators that a spelling may end in.
_ENDS = {"Add", "Max", "PRelu", "Sub", "Where"}

# How far back a spelling reaches: Add <- Mul <- Relu <- Neg is the longest seen.
_DEPTH = 4

_FLOATS = {ir.DataType.FLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE}

Slopes = tuple[float, float]  # on positive and on negative numbers


class LeakyReluSpelling(SitePass):
    """Write LeakyRelu, or Relu, for what computes just that.

        PRelu(x, a), a uniform                 Relu(x) - a * Relu(-x)
        Max(x, a * x), a <= 1                  (1 + a) / 2 * x + (1 - a) / 2 * Abs(x)
        Where(x > 0, x, a * x)
        becomes
        LeakyRelu<alpha = a>(x), or Relu(x) where a = 0

    A function that is p * x on positive numbers and n * x on negative ones stays one through
    factors, sums, Relu, Abs, Max, and a choice by the sign of x. So the pass carries the pair of
    slopes from x to the end of the spelling: (1, a) is a leaky ReLU. Infinities are not looked at.

    SNPE stores PRelu and LeakyRelu as the same layer, which every runtime has, and ONNX Runtime
    merges a LeakyRelu into its convolution but not a PRelu. It is a spelling, so it is written
    at the same price too.
    """

    name = "leaky-relu"

    def options(self, node: ir.Node) -> list[Proposal]:
        if node.op_type not in _ENDS or node.domain != "":
            return []
        for x in _sources(node):
            slopes = _slopes(node.outputs[0], x, _DEPTH)
            if slopes is not None and _is_leaky(slopes, x, node.outputs[0]):
                proposal = _proposal(node, x, slopes[1])
                return [replace(proposal, wanted=self._at_no_cost(proposal))]
        return []

    def _at_no_cost(self, proposal: Proposal) -> bool:
        """Whether the target takes the new spelling, and it is no dearer."""
        if self.goal.refusal(proposal.old, proposal.new):
            return False
        return self.goal.price(proposal.new) <= self.goal.price(proposal.old)


def _sources(node: ir.Node) -> Iterator[ir.Value]:
    """Tensors that ``node`` may be a function of, the nearest first."""
    layer = [node]
    for _ in range(_DEPTH):
        values = [value for n in layer for value in n.inputs if value is not None]
        yield from (value for value in values if constant(value) is None)
        layer = [producer for value in values if (producer := value.producer()) is not None]


def _is_leaky(slopes: Slopes, x: ir.Value, y: ir.Value) -> bool:
    """Whether x -> y is a leaky ReLU, number by number."""
    shape = fixed_shape(x)
    if x.dtype not in _FLOATS or shape is None or shape != fixed_shape(y):
        return False
    # Halves of 1 + a and 1 - a were rounded before they are added here.
    positive, negative = np.abs(np.subtract(slopes, 1)) <= np.finfo(x.dtype.numpy()).eps
    return bool(positive and not negative)


def _slopes(value: ir.Value | None, x: ir.Value, depth: int) -> Slopes | None:
    """Slopes of ``value`` as a function of x; None if it is no such function."""
    if value is x:
        return 1.0, 1.0
    if _uniform(value) == 0:
        return 0.0, 0.0
    node = value.producer() if value is not None else None
    if node is None or depth == 0 or node.domain != "":
        return None
    if node.op_type in ("Mul", "Div", "PRelu"):
        return _scaled(node, x, depth)
    if node.op_type == "Where":
        return _chosen(node, x, depth)
    if node.op_type not in _RULES:
        return None
    operands = [_slopes(operand, x, depth - 1) for operand in node.inputs]
    known = [slopes for slopes in operands if slopes is not None]
    return _RULES[node.op_type](*known) if len(known) == len(operands) else None


_RULES: dict[str, Callable[..., Slopes]] = {
    "Abs": lambda a: (abs(a[0]), -abs(a[1])),
    "Add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "Max": lambda *all_: (max(a[0] for a in all_), min(a[1] for a in all_)),
    "Neg": lambda a: (-a[0], -a[1]),
    "Relu": lambda a: (max(a[0], 0.0), min(a[1], 0.0)),
    "Sub": lambda a, b: (a[0] - b[0], a[1] - b[1]),
}


def _scaled(node: ir.Node, x: ir.Value, depth: int) -> Slopes | None:
    """A product with one number, a quotient, or a leaky ReLU of that slope."""
    value, other = node.inputs
    if node.op_type == "Mul" and _uniform(other) is None:
        value, other = other, value
    slopes, factor = _slopes(value, x, depth - 1), _uniform(other)
    if slopes is None or factor is None:
        return None
    if node.op_type == "Div":
        return (slopes[0] / factor, slopes[1] / factor) if factor else None
    positive, negative = slopes
    if node.op_type == "Mul" or positive < 0:
        positive *= factor
    if node.op_type == "Mul" or negative > 0:  # x is negative here
        negative *= factor
    return positive, negative


def _chosen(node: ir.Node, x: ir.Value, depth: int) -> Slopes | None:
    """A choice by the sign of x."""
    condition, yes, no = node.inputs
    if_true, if_false = _slopes(yes, x, depth - 1), _slopes(no, x, depth - 1)
    positive = _is_positive(condition, x)
    if positive is None or if_true is None or if_false is None:
        return None
    return (if_true[0], if_false[1]) if positive else (if_false[0], if_true[1])


def _is_positive(condition: ir.Value | None, x: ir.Value) -> bool | None:
    """Whether a condition asks for positive x; False if for negative, None if for neither.

    What it says of 0 does not matter: the function is 0 there.
    """
    node = condition.producer() if condition is not None else None
    if node is None or node.domain != "":
        return None
    if node.op_type == "Not":
        inner = _is_positive(node.inputs[0], x)
        return None if inner is None else not inner
    if node.op_type not in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        return None
    left, right = node.inputs
    greater = node.op_type.startswith("Greater")
    if left is x and _uniform(right) == 0:
        return greater
    return not greater if right is x and _uniform(left) == 0 else None


def _uniform(value: ir.Value | None) -> float | None:
    """The number that a constant repeats everywhere."""
    array = constant(value)
    if array is None or not array.size or (array != array.flat[0]).any():
        return None
    return float(array.flat[0])


def _proposal(node: ir.Node, x: ir.Value, slope: float) -> Proposal:
    shape = fixed_shape(x)
    assert shape is not None
    if x.dtype == ir.DataType.DOUBLE and float(np.float32(slope)) != slope:
        raise RefusedError("LeakyRelu keeps its slope in float32, and this one has more digits")
    old = tuple(_only_for(node, x))
    sketch = Sketch(node)
    settings: dict[str, Any] = {"alpha": float(np.float32(slope))} if slope else {}
    operator = "LeakyRelu" if slope else "Relu"
    result = sketch.put(operator, [x], shape, **settings)
    return Proposal(
        old=old,
        new=tuple(sketch.nodes),
        stands_for=((node.outputs[0], result),),
        what=f"{operator} of slope {slope:.4g}",
    )


def _only_for(node: ir.Node, x: ir.Value) -> list[ir.Node]:
    """The nodes between x and ``node`` that nobody else reads, and ``node``, in order."""
    going, grown = [node], True
    while grown:
        values = [v for n in going for v in n.inputs if v is not x and constant(v) is None]
        producers = dict.fromkeys(v.producer() for v in values if v is not None)
        more = [p for p in producers if p is not None and p not in going and _is_read_by(p, going)]
        going, grown = going + more, bool(more)
    return going[::-1]


def _is_read_by(node: ir.Node, readers: list[ir.Node]) -> bool:
    """Whether nobody but ``readers`` reads the results of ``node``."""
    if any(value.is_graph_output() for value in node.outputs):
        return False
    return all(use.node in readers for value in node.outputs for use in value.uses())
