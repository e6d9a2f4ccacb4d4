"""Upsampling that does nothing but repeat pixels."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import fixed_shape
from avatar_export.passes.cures.resizing import Rule, picks, resized_axes
from avatar_export.passes.site import Sketch
from avatar_export.resize import Axis

# A Resize of set 10 has neither attribute; Upsample never had them.
_OLD_RULE = ("asymmetric", "floor")
_RULES_FROM = 11
_SIZES = 3  # input slot


def repetition(node: ir.Node) -> tuple[int, int] | None:
    """How often a node repeats each pixel of an image, as (rows, columns); None if it does else.

    That is a nearest Resize or Upsample of [N, C, H, W] with fixed shapes that leaves N and C
    alone. Which pixels it picks is computed, whatever the attributes are called.
    """
    if node.domain or node.op_type not in ("Resize", "Upsample"):
        return None
    if node.attributes.get_string("mode", "nearest") != "nearest":
        return None
    axes = _axes(node)
    if axes is None or len(axes) != 4 or any(axis.scale != 1 for axis in axes[:2]):
        return None
    rows, columns = (_factor(axis, _rule(node)) for axis in axes[2:])
    return (rows, columns) if rows and columns else None


def repeat(sketch: Sketch, value: ir.Value, like: ir.Node, channels: int) -> ir.Value:
    """The repetition ``like``, of a value [N, channels, H, W]."""
    shape = fixed_shape(like.outputs[0])
    assert shape is not None
    shape = (shape[0], channels, *shape[2:])
    inputs = [value, *like.inputs[1:]]
    if len(inputs) > _SIZES and inputs[_SIZES] is not None:
        axes = like.attributes.get_ints("axes", range(len(shape)))
        sizes = np.array([shape[axis] for axis in axes], np.int64)
        inputs[_SIZES] = sketch.weight("sizes", sizes)
    return sketch.put(like.op_type, inputs, shape, ".repeated", **dict(like.attributes))


def _axes(node: ir.Node) -> list[Axis] | None:
    if len(node.inputs) > 1:
        return resized_axes(node)
    before, after = fixed_shape(node.inputs[0]), fixed_shape(node.outputs[0])
    scales = node.attributes.get_floats("scales", [])  # Upsample before set 9
    if before is None or after is None or 0 in before or not scales:
        return None
    return [Axis(*axis) for axis in zip(before, after, scales, strict=True)]


def _factor(axis: Axis, rule: Rule) -> int:
    """How often an axis repeats each element; 0 if it does something else."""
    factor = axis.after // axis.before
    repeated = np.arange(axis.before).repeat(factor).tolist()
    return factor if picks(axis, *rule) == repeated else 0


def _rule(node: ir.Node) -> Rule:
    """Coordinates and rounding."""
    graph = node.graph
    opset = _RULES_FROM if graph is None else graph.opset_imports.get("", _RULES_FROM)
    if opset < _RULES_FROM:
        return _OLD_RULE
    return (
        node.attributes.get_string("coordinate_transformation_mode", "half_pixel"),
        node.attributes.get_string("nearest_mode", "round_prefer_floor"),
    )
