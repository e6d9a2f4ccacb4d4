"""Casts there and back, and what they do on the way."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.reading import made_by
from avatar_export.passes.cures.writer import Writer

_WHOLE = {ir.DataType.INT32, ir.DataType.INT64}
_HALF = {ir.DataType.FLOAT16, ir.DataType.BFLOAT16}
_LOSSY = _WHOLE | _HALF | {ir.DataType.BOOL}

# What these give is whole, so that a cast to an integer loses nothing.
_ROUNDS = ("Ceil", "Floor", "Round", "Sign")


class CastPair(Cure):
    """What a pair of casts does, without casts.

        Cast(Cast(x, int32), float)    becomes    Floor(Relu(x)) - Floor(Relu(-x))
        Cast(Cast(x, bool), float)     becomes    Cast(Greater(Abs(x), 0), float)

    The converter removes such pairs together with the truncation or the 0/1 mask; at a graph
    output it stops. Behind a Floor it loses nothing, and stays (snpe-onnx-to-dlc 2.25.0.240728
    experiment). Rounding to half has no other spelling. Numbers beyond the integer type are
    undefined before, and kept after.
    """

    name = "cast-pair"
    operators = frozenset({"Cast"})

    def concerns(self, node: ir.Node) -> bool:
        first = made_by(node.inputs[0], "Cast")
        if first is None or _type(first) not in _LOSSY:
            return False
        source = first.inputs[0]
        dtype = source.dtype if source is not None else None
        if dtype is None or not dtype.is_floating_point() or dtype == _type(first):
            return False
        if _type(first) in _WHOLE and made_by(source, *_ROUNDS):
            return False
        return _type(node).is_floating_point()

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        first = made_by(node.inputs[0], "Cast")
        x = first.inputs[0] if first is not None else None
        assert first is not None and x is not None
        if _type(first) in _HALF:
            raise LeftAloneError("rounding to half has no other spelling")
        if _type(first) is ir.DataType.BOOL:
            return self._mask(node, x, writer)
        if x.dtype != _type(node):
            raise LeftAloneError("it ends in another float type than it begins with")
        above = writer.put("Floor", writer.put("Relu", x))
        below = writer.put("Floor", writer.put("Relu", writer.put("Neg", x)))
        writer.replace(writer.put("Sub", above, below))
        return "truncation written with Floor"

    def _mask(self, node: ir.Node, x: ir.Value, writer: Writer) -> str:
        mask = writer.put("Greater", writer.put("Abs", x), writer.scalar("zero", 0.0, x))
        writer.replace(writer.put("Cast", mask, to=int(_type(node))))
        return "mask written with Greater"


def _type(cast: ir.Node) -> ir.DataType:
    return ir.DataType(cast.attributes["to"].as_int())
