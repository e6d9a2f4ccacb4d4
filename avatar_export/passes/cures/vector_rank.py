"""Constant vectors along the width say so."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import constant, fixed_shape
from avatar_export.passes.cures.cure import Cure
from avatar_export.passes.cures.writer import Writer


class VectorRank(Cure):
    """A constant [W] is repeated to a shape that has no single axis.

        Add(x[N,C,H,W], v[W])     becomes     Add(x, v[1,1,H,W]), or v[1,C,1,W] where H is 1

    the same for Sub, Mul, Div and ranks 3 and 5. Where W is the number of channels, the converter
    folds such a vector into the convolution before it as one number a channel, and [1,1,1,W] too;
    where the two differ it is right (snpe-onnx-to-dlc 2.25.0.240728 experiment; ONNX converter
    source, QAIRT 2.25.0.240728).
    """

    name = "vector-rank"
    operators = frozenset({"Add", "Sub", "Mul", "Div"})

    def concerns(self, node: ir.Node) -> bool:
        return _vector(node) is not None

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        found = _vector(node)
        assert found is not None
        slot, numbers = found
        node.replace_input_with(slot, writer.constant("repeated", numbers))
        self.stamp(node)
        return f"vector of shape [{numbers.shape[-1]}] became {list(numbers.shape)}"


def _vector(node: ir.Node) -> tuple[int, np.ndarray] | None:
    """Where a node reads a constant vector that could be taken for channels; and it repeated."""
    for slot in (0, 1):
        numbers, shape = constant(node.inputs[slot]), fixed_shape(node.inputs[1 - slot])
        if numbers is None or numbers.ndim != 1 or shape is None or len(shape) not in (3, 4, 5):
            continue
        if numbers.size > 1 and numbers.size == shape[1] == shape[-1]:
            second = max(range(1, len(shape) - 1), key=lambda axis: (shape[axis] > 1, axis))
            wanted = [shape[a] if a in (second, len(shape) - 1) else 1 for a in range(len(shape))]
            return slot, np.broadcast_to(numbers, wanted).copy()
    return None
