"""Constant vectors along the width say so."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.base import constant
from avatar_export.passes.cures.cure import Cure
from avatar_export.passes.cures.reading import fixed_shape
from avatar_export.passes.cures.writer import Writer


class VectorRank(Cure):
    """A constant [W] gets the rank of the tensor that it is combined with.

        Add(x[N,C,H,W], v[W])     becomes     Add(x, v[1,1,1,W])

    the same for Sub, Mul, Div and ranks 3 and 5. Where W is the number of channels, the converter
    folds such a vector into the convolution before it as one number a channel; where the two
    differ it is right (snpe-onnx-to-dlc 2.25.0.240728 experiment).
    """

    name = "vector-rank"
    operators = frozenset({"Add", "Sub", "Mul", "Div"})

    def concerns(self, node: ir.Node) -> bool:
        return _vector(node) is not None

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        slot, shape = _vector(node) or (0, [])
        vector = node.inputs[slot]
        assert vector is not None
        node.replace_input_with(slot, writer.reshape(vector, shape))
        self.stamp(node)
        return f"vector of shape [{shape[-1]}] became {shape}"


def _vector(node: ir.Node) -> tuple[int, list[int]] | None:
    """Where a node reads a constant vector that could be taken for channels, and its new shape."""
    for slot in (0, 1):
        numbers, shape = constant(node.inputs[slot]), fixed_shape(node.inputs[1 - slot])
        if numbers is None or numbers.ndim != 1 or shape is None or len(shape) not in (3, 4, 5):
            continue
        if numbers.size > 1 and numbers.size == shape[1] == shape[-1]:
            return slot, [1] * (len(shape) - 1) + [numbers.size]
    return None
