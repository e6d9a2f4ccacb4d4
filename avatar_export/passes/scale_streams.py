"""Tensors that grow beyond half precision are carried at a smaller scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import Pass, add_initializer, constant, drop_unused
from avatar_export.passes.layers import is_reduced
from avatar_export.precision.ranges import largest_values

# A tensor beyond this is scaled, until it is at most TARGET. Half precision ends at 65504; a sum of
# products may pass through larger numbers than its result, and other poses make other numbers.
LIMIT = 1024.0
TARGET = 256.0

# Layers with constant numbers: their input and their output may have different scales.
_LINEAR = {"Conv", "ConvTranspose", "Gemm", "BatchNormalization"}
# Operators that scale their result as their data input is scaled, by any positive factor.
_HOMOGENEOUS = {
    "Add",
    "AveragePool",
    "Concat",
    "DepthToSpace",
    "Identity",
    "LeakyRelu",
    "MaxPool",
    "Relu",
    "Reshape",
    "Resize",
    "Slice",
    "Split",
    "Sub",
    "Transpose",
    "Upsample",
}
# Those that combine several data inputs, which then need one scale; the others' first input is
# their data, the rest are shapes and factors.
_JOINING = {"Add", "Concat", "Sub"}


class ScaleStreams(Pass):
    """Carry large tensors at 2^-k of their value; exact in float32 but for overflow.

        x = Conv(W, b) + Conv(V, c)
        y = BatchNormalization(s, t)(x)
        becomes
        x' = Conv(W / 2^k, b / 2^k) + Conv(V / 2^k, c / 2^k)
        y  = BatchNormalization(2^k s, t)(x')

    A residual stream has no norm of its own and may grow past the 65504 of half precision, while
    everything that reads it is a norm or a convolution, which can undo a scale. Tensors that must
    share one scale (through sums, activations, resizing) form a group; a group that touches an
    input, an output, or an operator that is not homogeneous keeps its values.

    Args:
        runs: inputs by name, one mapping a run, on which the tensors are measured.
    """

    name = "scale-streams"

    def __init__(self, runs: Sequence[Mapping[str, np.ndarray]]) -> None:
        self.runs = runs

    def apply(self, model: ir.Model) -> list[str]:
        largest = largest_values(ir.to_proto(model), self.runs)
        groups = _Groups(model)
        shifts = groups.shifts(largest)
        self.notes = [
            f"{name} reaches {value:.3g} and cannot be scaled: half precision may not hold it"
            for name, value in groups.stuck(largest)
        ]
        changes = []
        for node in model.graph:
            if node.op_type not in _LINEAR or not _has_constants(node):
                continue
            data = node.inputs[0]
            incoming = shifts.get(groups.root(data), 0) if data is not None else 0
            outgoing = shifts.get(groups.root(node.outputs[0]), 0)
            if incoming or outgoing:
                self._rescale(model, node, incoming, outgoing)
                changes.append(f"{node.name}: reads 2^-{incoming}, writes 2^-{outgoing}")
        drop_unused(model)
        return changes

    def _rescale(self, model: ir.Model, node: ir.Node, incoming: int, outgoing: int) -> None:
        """Undo the scale of the input, apply that of the output: w * 2^(i - o), b * 2^-o."""
        weight, bias = constant(node.inputs[1]), None
        assert weight is not None
        factors = {1: 2.0 ** (incoming - outgoing)}
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            bias = constant(node.inputs[2])
            factors[2] = 2.0**-outgoing
        for slot, numbers in ((1, weight), (2, bias)):
            if numbers is not None:
                scaled = (numbers * factors[slot]).astype(numbers.dtype)
                value = add_initializer(model, f"{node.name}.scaled_{slot}", scaled)
                node.replace_input_with(slot, value)
        self.stamp(node)


class _Groups:
    """Values that must share one scale, as a union-find forest over values."""

    def __init__(self, model: ir.Model) -> None:
        self._parent: dict[ir.Value, ir.Value] = {}
        self._fixed: set[ir.Value] = set()
        for value in (*model.graph.inputs, *model.graph.outputs):
            self._fixed.add(value)
        for node in model.graph:
            self._read(node)
        # What the body of an If or a Loop reads is out of sight here.
        self._fixed |= {v for v in self._parent if any(_elsewhere(n, model) for n in v.consumers())}

    def root(self, value: ir.Value) -> ir.Value:
        """The value that stands for the group of ``value``."""
        while (parent := self._parent.get(value, value)) is not value:
            value = parent
        return value

    def shifts(self, largest: Mapping[str, float]) -> dict[ir.Value, int]:
        """For each group that needs it and may have it, k of its scale 2^-k."""
        fixed = {self.root(value) for value in self._fixed}
        return {
            root: math.ceil(math.log2(top / TARGET))
            for root, top in self._tops(largest).items()
            if LIMIT < top < math.inf and root not in fixed
        }

    def stuck(self, largest: Mapping[str, float]) -> list[tuple[str, float]]:
        """Name and largest value of groups that need a scale and cannot have one."""
        fixed = {self.root(value) for value in self._fixed}
        return [
            (root.name or "", top)
            for root, top in self._tops(largest).items()
            if not top <= LIMIT and (root in fixed or top == math.inf)
        ]

    def _tops(self, largest: Mapping[str, float]) -> dict[ir.Value, float]:
        """The largest value of each group, by its root."""
        tops: dict[ir.Value, float] = {}
        for value in self._parent:
            root = self.root(value)
            tops[root] = max(tops.get(root, 0.0), largest.get(value.name or "", 0.0))
        return tops

    def _read(self, node: ir.Node) -> None:
        values = [v for v in (*node.inputs, *node.outputs) if v is not None]
        for value in values:
            self._parent.setdefault(value, value)
        if node.op_type in _LINEAR and _has_constants(node):
            return
        if node.op_type not in _HOMOGENEOUS:
            self._fixed.update(values)
            return
        data = node.inputs if node.op_type in _JOINING else node.inputs[:1]
        # A constant summand would have to be scaled too.
        self._fixed.update(v for v in data if v is not None and constant(v) is not None)
        first, *others = node.outputs
        for member in (*data, *others):
            if member is not None:
                self._join(first, member)

    def _join(self, a: ir.Value, b: ir.Value) -> None:
        root_a, root_b = self.root(a), self.root(b)
        if root_a is not root_b:
            self._parent[root_b] = root_a


def _has_constants(node: ir.Node) -> bool:
    """Whether weight and bias are known, and nothing else of the layer depends on their scale."""
    if node.op_type == "Gemm" and node.attributes.get_float("beta", 1.0) != 1.0:
        return False
    if node.op_type == "BatchNormalization" and not is_reduced(node):
        return False
    return all(constant(value) is not None for value in node.inputs[1:] if value is not None)


def _elsewhere(node: ir.Node, model: ir.Model) -> bool:
    return node.graph is not model.graph
