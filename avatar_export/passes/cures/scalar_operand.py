"""Computed scalars get one axis."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.base import constant
from avatar_export.passes.cures.cure import Cure
from avatar_export.passes.cures.reading import rank
from avatar_export.passes.cures.writer import Writer

_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min")
_LOGIC = ("And", "Or", "Xor", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")


class ScalarOperand(Cure):
    """An operand of rank 0 that is fed or computed is reshaped to one element.

        Mul(x[N,C,H,W], s[])     becomes     Mul(x, Reshape(s, [1]))

    The converter keeps rank 0, and the GPU's operation definitions ask for one axis at least
    (snpe-onnx-to-dlc 2.25.0.240728 experiment; QNN GPU op definition supplement, QAIRT
    2.25.0.240728). Constants are stored with an axis by the converter itself.
    """

    name = "scalar-operand"
    operators = frozenset({*_ARITHMETIC, *_LOGIC})

    def concerns(self, node: ir.Node) -> bool:
        return bool(_scalars(node)) and any(rank(value) for value in node.inputs)

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        for slot in _scalars(node):
            value = node.inputs[slot]
            assert value is not None
            reshaped = writer.reshape(value, [1])
            reshaped.shape, reshaped.type = ir.Shape([1]), value.type
            node.replace_input_with(slot, reshaped)
        self.stamp(node)
        return "its scalar operand got one axis"


def _scalars(node: ir.Node) -> list[int]:
    """Inputs of rank 0 that are not constant."""
    return [k for k, v in enumerate(node.inputs) if rank(v) == 0 and constant(v) is None]
