"""Slopes of a PRelu get a rank that the converter keeps."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.base import fixed_shape
from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.reading import rank
from avatar_export.passes.cures.writer import Writer


class PreluSlope(Cure):
    """A slope [W], which ONNX broadcasts along the last axis, is spelled with more axes.

        PRelu(x, s[W])                becomes   PRelu(x, s[1,1,W])            x of rank 4
        PRelu(x, s[C])                becomes   Relu(x) - s[1,C] * Relu(-x)   x of rank 2

    The converter keeps only the first element of a slope of one axis; slopes of the input's rank
    without the batch are right (snpe-onnx-to-dlc 2.25.0.240728 experiment). At rank 2 that rank is
    again one, so the function is written out.
    """

    name = "prelu-slope"
    operators = frozenset({"PRelu"})

    def concerns(self, node: ir.Node) -> bool:
        return rank(node.inputs[1]) == 1 and fixed_shape(node.inputs[1]) != (1,)

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        x, slope = node.inputs[0], node.inputs[1]
        assert x is not None and slope is not None
        axes, sizes = rank(x), fixed_shape(slope)
        if axes is None or sizes is None:
            raise LeftAloneError("the rank of its input or the size of its slope is unknown")
        if axes < 2:
            raise LeftAloneError("its input has one axis only")
        if axes == 2:
            self._write_out(x, writer.reshape(slope, (1, *sizes)), writer)
            return "written out with Relu"
        shape = (1,) * (axes - 2) + sizes
        writer.replace(writer.put("PRelu", x, writer.reshape(slope, shape)))
        return f"slope of shape {list(sizes)} became {list(shape)}"

    def _write_out(self, x: ir.Value, slope: ir.Value, writer: Writer) -> None:
        below = writer.put("Relu", writer.put("Neg", x))
        writer.replace(
            writer.put("Sub", writer.put("Relu", x), writer.put("Mul", slope, below)),
        )
