"""GELU in the form that the converter recognises."""

from __future__ import annotations

import math

import onnx_ir as ir

from avatar_export.passes.cures.cure import Cure
from avatar_export.passes.cures.reading import scalar_of
from avatar_export.passes.cures.writer import Writer

_TOLERANCE = 1e-6  # of a root of two in float32


class GeluDivision(Cure):
    """Divide by a root of two instead of multiplying with its inverse.

        Mul(x, 0.70710678) -> Erf -> Add(1) -> Mul     becomes     Div(x, 1.41421356) -> Erf -> ...

    Erf is refused save inside x * (1 + Erf(x / sqrt(2))) * 0.5, and there only behind a Div
    (snpe-onnx-to-dlc 2.25.0.240728 experiment). The two constants are rounded apart, so the last
    bit of the result may differ.
    """

    name = "gelu-division"
    operators = frozenset({"Mul"})

    def concerns(self, node: ir.Node) -> bool:
        readers = node.outputs[0].consumers()
        return _scaled(node) is not None and any(_is_inside_gelu(reader) for reader in readers)

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        x = _scaled(node)
        assert x is not None
        writer.replace(writer.put("Div", x, writer.scalar("root", math.sqrt(2), x)))
        return "a division by a root of two"


def _scaled(node: ir.Node) -> ir.Value | None:
    """What a Mul multiplies with the inverse root of two."""
    for data, factor in (node.inputs, reversed(node.inputs)):
        number = scalar_of(factor)
        if number is not None and math.isclose(number, math.sqrt(0.5), rel_tol=_TOLERANCE):
            return data
    return None


def _is_inside_gelu(erf: ir.Node) -> bool:
    """Whether an Erf is followed by one and a product."""
    if erf.op_type != "Erf":
        return False
    sums = [n for n in erf.outputs[0].consumers() if n.op_type == "Add"]
    return any(
        any(scalar_of(operand) == 1 for operand in node.inputs)
        and any(reader.op_type == "Mul" for reader in node.outputs[0].consumers())
        for node in sums
    )
