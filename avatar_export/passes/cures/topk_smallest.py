"""The smallest values as the largest of the negated."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.writer import Writer


class TopkSmallest(Cure):
    """TopK that asks for the smallest values asks for the largest.

        v, i = TopK<largest=0>(x, k)     becomes     w, i = TopK(Neg(x), k),  v = Neg(w)

    The converter drops largest=0 (snpe-onnx-to-dlc 2.25.0.240728 experiment). Negation keeps
    equal values equal, so that the indices stay as well.
    """

    name = "topk-smallest"
    operators = frozenset({"TopK"})

    def concerns(self, node: ir.Node) -> bool:
        return node.attributes.get_int("largest", 1) == 0

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        x, k = node.inputs
        assert x is not None
        if x.dtype is None or not (x.dtype.is_floating_point() or x.dtype.is_signed()):
            raise LeftAloneError("its numbers have no sign")
        kept = {
            name: node.attributes.get_int(name, default)
            for name, default in (("axis", -1), ("sorted", 1))
        }
        values = writer.put("TopK", writer.put("Neg", x), k, outputs=2, **kept)
        top = values.producer()
        assert top is not None
        smallest = writer.put("Neg", values)
        writer.replace(smallest)
        if len(node.outputs) > 1:
            writer.replace(top.outputs[1], node.outputs[1])
        return "the largest of the negated values"
