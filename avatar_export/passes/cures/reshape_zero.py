"""A Reshape that need not say what a zero means."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.base import constant
from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.writer import Writer


class ReshapeZero(Cure):
    """Drop allowzero where the shape holds no zero.

        Reshape(x, [1, 4, 64], allowzero=1)     becomes     Reshape(x, [1, 4, 64])

    The dynamo exporter of PyTorch sets it on every Reshape, and the converter refuses it
    (snpe-onnx-to-dlc 2.25.0.240728 experiment).
    """

    name = "reshape-zero"
    operators = frozenset({"Reshape"})

    def concerns(self, node: ir.Node) -> bool:
        return node.attributes.get_int("allowzero", 0) == 1

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        shape = constant(node.inputs[1])
        if shape is None or (shape == 0).any():
            raise LeftAloneError("its shape is computed, or holds a zero")
        node.attributes.pop("allowzero")
        self.stamp(node)
        return "allowzero dropped"
