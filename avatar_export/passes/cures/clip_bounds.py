"""Min of a Max between constants is a Clip."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import fixed_shape
from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.reading import scalar_of
from avatar_export.passes.cures.writer import Writer

_OTHER = {"Min": "Max", "Max": "Min"}


class ClipBounds(Cure):
    """Two bounds become one node.

        Min(Max(x, lo), hi)    and    Max(Min(x, hi), lo)    become    Clip(x, lo, hi)

    The converter fuses the pair under the name of the inner tensor, so that at the end of a graph
    the DLC has no output (snpe-onnx-to-dlc 2.25.0.240728 experiment). The bounds are attributes
    before operator set 11 and inputs from then on. The second form is a Clip only for lo <= hi.
    """

    name = "clip-bounds"
    operators = frozenset({"Min", "Max"})

    def concerns(self, node: ir.Node) -> bool:
        outer = _bound(node)
        inner = outer and outer[0].producer()
        if outer is None or inner is None or inner.op_type != _OTHER[node.op_type]:
            return False
        found = _bound(inner)
        return found is not None and (node.op_type == "Min" or found[1] >= outer[1])

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        outer = _bound(node)
        inner = _bound(outer[0].producer()) if outer else None
        assert outer is not None and inner is not None
        x = inner[0]
        low, high = (inner[1], outer[1]) if node.op_type == "Min" else (outer[1], inner[1])
        if fixed_shape(x) != fixed_shape(node.outputs[0]):
            raise LeftAloneError("a bound has more axes than its input")
        if writer.opset < 11:
            writer.replace(writer.put("Clip", x, min=low, max=high))
        else:
            bounds = (writer.scalar("min", low, x), writer.scalar("max", high, x))
            writer.replace(writer.put("Clip", x, *bounds))
        return f"one Clip from {low:g} to {high:g}"


def _bound(node: ir.Node | None) -> tuple[ir.Value, float] | None:
    """Of a Min or Max of a tensor with one constant number: both."""
    if node is None or len(node.inputs) != 2:
        return None
    for data, other in (node.inputs, reversed(node.inputs)):
        number = scalar_of(other)
        if data is not None and number is not None and not np.isnan(number):
            return data, number
    return None
