"""Softmax over rows, at the end of a graph."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.cures.cure import Cure
from avatar_export.passes.cures.reading import rank
from avatar_export.passes.cures.writer import Writer

_AXIS_IS_ONE = 13  # from this operator set on; before, it splits the shape in two


class SoftmaxLast(Cure):
    """The axis of a Softmax or LogSoftmax goes to the end, and back.

        Softmax(x, axis=2)     becomes     Transpose -> Softmax(axis=-1) -> Transpose

    As the last layer, over an axis that is neither the channel nor the last one, the converter
    leaves the output with that axis at the end. Inside a network it is right, and so are the
    flattening Softmax of operator sets before 13 (snpe-onnx-to-dlc 2.25.0.240728 experiment).
    """

    name = "softmax-last"
    operators = frozenset({"Softmax", "LogSoftmax"})

    def concerns(self, node: ir.Node) -> bool:
        axes = rank(node.inputs[0])
        if axes is None or not node.outputs[0].is_graph_output() or _version(node) < _AXIS_IS_ONE:
            return False
        axis = node.attributes.get_int("axis", -1) % axes
        return axis != axes - 1 and not (axis == 1 and axes >= 3)

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        x, axes = node.inputs[0], rank(node.inputs[0])
        assert x is not None and axes is not None
        axis = node.attributes.get_int("axis", -1) % axes
        swapped = list(range(axes))
        swapped[axis], swapped[-1] = swapped[-1], swapped[axis]
        inner = writer.put(node.op_type, writer.transpose(x, swapped), axis=-1)
        writer.replace(writer.transpose(inner, swapped))
        return f"axis {axis} is the last one while it runs"


def _version(node: ir.Node) -> int:
    """Operator set that a node of a graph is written in."""
    return 0 if node.graph is None else node.graph.opset_imports.get("", 0)
