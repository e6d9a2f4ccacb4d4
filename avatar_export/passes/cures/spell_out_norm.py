"""Norms as sums: L1 and L2 have no layer of their own."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.base import constant
from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.reading import rank
from avatar_export.passes.cures.writer import Writer

# What F.normalize puts between a norm and the division by it.
_BETWEEN = {"Clip", "Max", "Expand"}


class SpellOutNorm(Cure):
    """Write ReduceL2 and ReduceL1 with operators that are taken one by one.

        ReduceL2(x)                             becomes   Sqrt(ReduceSum(Mul(x, x)))
        ReduceL1(x)                             becomes   ReduceSum(Abs(x))
        x -> ReduceL2 -> Clip -> Expand -> Div  becomes
        x -> Mul -> ReduceSum -> Sqrt -> Clip -> Expand -> Div

    The converter has no translation for either alone. x / ReduceL2(x), with or without a bound and
    Expand in between, it fuses into L2Norm over the last axis, whatever is reduced; so the last
    axis of rank 2 is right and stays (snpe-onnx-to-dlc 2.25.0.240728 experiment; ONNX converter
    source, QAIRT 2.25.0.240728).
    """

    name = "spell-out-norm"
    operators = frozenset({"ReduceL1", "ReduceL2"})

    def concerns(self, node: ir.Node) -> bool:
        right = rank(node.inputs[0]) == 2 and _axes(node) in ([1], [-1])
        return not (node.op_type == "ReduceL2" and right and _divides(node))

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        x = node.inputs[0]
        assert x is not None
        keepdims = node.attributes.get_int("keepdims", 1)
        axes: ir.Value | list[int] | None = node.inputs[1] if len(node.inputs) > 1 else None
        if "axes" in node.attributes:
            axes = list(node.attributes["axes"].as_ints())
        if isinstance(axes, ir.Value) and constant(axes) is None:
            raise LeftAloneError("its axes are computed")
        if node.attributes.get_int("noop_with_empty_axes", 0) and _is_empty(axes):
            raise LeftAloneError("it reduces nothing")
        if node.op_type == "ReduceL1":
            writer.replace(writer.reduce("ReduceSum", writer.put("Abs", x), axes, keepdims))
            return "spelled out as a sum"
        total = writer.reduce("ReduceSum", writer.put("Mul", x, x), axes, keepdims)
        writer.replace(writer.put("Sqrt", total))
        return "spelled out as the root of a sum"


def _axes(node: ir.Node) -> list[int]:
    """Reduced axes as far as they are known; empty for all of them."""
    if "axes" in node.attributes:
        return list(node.attributes["axes"].as_ints())
    numbers = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return [] if numbers is None else [int(n) for n in numbers.ravel()]


def _is_empty(axes: ir.Value | list[int] | None) -> bool:
    return axes is None or (isinstance(axes, ir.Value) and axes.shape == [0])


def _divides(norm: ir.Node) -> bool:
    """Whether the input of ``norm`` is divided by it, directly or bounded and expanded."""
    readers = list(norm.outputs[0].consumers())
    while len(readers) == 1 and readers[0].op_type in _BETWEEN:
        readers = list(readers[0].outputs[0].consumers())
    return [n.op_type for n in readers] == ["Div"] and readers[0].inputs[0] is norm.inputs[0]
