"""Pads that both add and cut."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.padding import (
    Padding,
    is_constant_mode,
    pad_value,
    put_pad,
    read_padding,
)
from avatar_export.passes.cures.writer import Writer

_TO_THE_END = 2**31 - 1  # a Slice reaches to the end of an axis


class SplitPad(Cure):
    """One node adds, the next one cuts.

        Pad(x, 1 at the top, -1 at the bottom)    becomes    Slice(Pad(x, 1 at the top))

    The converter turns a Pad with any negative amount into CropAndResize, which adds nothing; a
    Pad that only cuts is right (snpe-onnx-to-dlc 2.25.0.240728 experiment). With other modes than
    constant the order matters, and the ONNX documents do not say which comes first.
    """

    name = "split-pad"
    operators = frozenset({"Pad"})

    def concerns(self, node: ir.Node) -> bool:
        padding = read_padding(node)
        return padding is not None and padding.grows and padding.cuts

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        x, padding = node.inputs[0], read_padding(node)
        assert x is not None and padding is not None
        if not is_constant_mode(node):
            raise LeftAloneError("only padding with a constant can be split")
        if writer.opset < 11:
            amounts = np.concatenate([padding.added().begin, padding.added().end])
            value = node.attributes.get_float("value", 0.0)
            padded = writer.put("Pad", x, mode="constant", pads=amounts.tolist(), value=value)
        else:
            padded = put_pad(writer, x, padding.added(), pad_value(node))
        writer.replace(_cut(writer, padded, padding))
        return "split into a Pad and a Slice"


def _cut(writer: Writer, x: ir.Value, padding: Padding) -> ir.Value:
    """A Slice that removes what ``padding`` cuts off."""
    axes = np.flatnonzero((padding.begin < 0) | (padding.end < 0))
    starts = (-padding.begin[axes]).clip(0)
    ends = np.where(padding.end[axes] < 0, padding.end[axes], _TO_THE_END)
    bounds = {"starts": starts, "ends": ends, "axes": axes}
    if writer.opset < 10:
        return writer.put("Slice", x, **{name: array.tolist() for name, array in bounds.items()})
    return writer.put("Slice", x, *(writer.constant(name, array) for name, array in bounds.items()))
