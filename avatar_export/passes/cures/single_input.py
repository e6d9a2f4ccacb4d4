"""Variadic operators with one input."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.cures.cure import Cure
from avatar_export.passes.cures.writer import Writer


class SingleInput(Cure):
    """The least, largest, sum or mean of one tensor is that tensor.

        a -> Max -> b     becomes     a -> b

    The converter crashes on them (snpe-onnx-to-dlc 2.25.0.240728 experiment).
    """

    name = "single-input"
    operators = frozenset({"Max", "Mean", "Min", "Sum"})

    def concerns(self, node: ir.Node) -> bool:
        return len(node.inputs) == 1

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        value = node.inputs[0]
        assert value is not None
        writer.hand_on(value)
        return "removed"
