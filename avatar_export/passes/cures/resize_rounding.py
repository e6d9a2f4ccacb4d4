"""A nearest Resize whose rounding the converter does not store."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.reading import rank
from avatar_export.passes.cures.resizing import Rule, resized_axes, same_picks, survives
from avatar_export.passes.cures.writer import Writer

_NEAREST = "nearest"
_SPELLED = ("asymmetric", "floor")


class ResizeRounding(Cure):
    """The same pixels, spelled in the one way that survives.

        Resize(coordinates, rounding)     becomes     Resize(asymmetric, floor)

    where both pick the same input pixel for every output pixel of these very sizes. At rank 4
    nearest_mode is not written to the DLC (snpe-onnx-to-dlc 2.25.0.240728 experiment). A node
    whose own rule picks what the layer would is right already; one that asymmetric and floor
    cannot spell is left alone.
    """

    name = "resize-rounding"
    operators = frozenset({"Resize"})

    def concerns(self, node: ir.Node) -> bool:
        if len(node.inputs) < 3 or rank(node.inputs[0]) != 4:
            return False
        if node.attributes.get_string("mode", _NEAREST) != _NEAREST:
            return False
        axes, rule = resized_axes(node), _rule(node)
        return rule != _SPELLED if axes is None else not survives(axes, rule, rule[0])

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        axes, rule = resized_axes(node), _rule(node)
        if axes is None:
            raise LeftAloneError("its sizes are not fixed")
        if not same_picks(axes, rule, _SPELLED):
            raise LeftAloneError(
                f"no rule that is stored picks the pixels of {' with '.join(rule)}"
            )
        node.attributes.add(ir.AttrString("coordinate_transformation_mode", "asymmetric"))
        node.attributes.add(ir.AttrString("nearest_mode", "floor"))
        self.stamp(node)
        return f"{' with '.join(rule)} became asymmetric with floor, which picks the same pixels"


def _rule(node: ir.Node) -> Rule:
    """Coordinates and rounding of a Resize."""
    return (
        node.attributes.get_string("coordinate_transformation_mode", "half_pixel"),
        node.attributes.get_string("nearest_mode", "round_prefer_floor"),
    )
