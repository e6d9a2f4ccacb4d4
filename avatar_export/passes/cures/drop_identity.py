"""Nodes that do nothing at inference."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.base import constant
from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.reading import joins_fixed_names
from avatar_export.passes.cures.writer import Writer


class DropIdentity(Cure):
    """Remove Identity, and Dropout with a ratio or mode as inputs.

        a -> Identity -> b                       becomes     a -> b
        a -> Dropout(ratio, training=0) -> b     becomes     a -> b

    The converter refuses a Dropout of operator set 12 with more than its first input, and takes
    a plain one (snpe-onnx-to-dlc 2.25.0.240728 experiment). An Identity that joins a graph input,
    a weight or another output to an output of the graph is what gives that output its name, and
    stays.
    """

    name = "drop-identity"
    operators = frozenset({"Identity", "Dropout"})

    def concerns(self, node: ir.Node) -> bool:
        if node.op_type == "Dropout":
            return len(node.inputs) > 1
        return not joins_fixed_names(node)

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
            raise LeftAloneError("its mask is read")
        training = node.inputs[2] if len(node.inputs) > 2 else None
        mode = constant(training)
        if training is not None and (mode is None or mode.any()):
            raise LeftAloneError("it may be in training mode")
        value = node.inputs[0]
        assert value is not None
        writer.hand_on(value)
        return "removed"
