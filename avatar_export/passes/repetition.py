"""Upsampling that does nothing but repeat pixels."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import constant
from avatar_export.passes.cures.resizing import picks, resized_axes
from avatar_export.passes.site import Sketch, fixed_shape
from avatar_export.resize import Axis

# A Resize of set 10 has neither attribute; Upsample never had them.
_OLD_RULE = ("asymmetric", "floor")
_RULES_FROM = 11
_SIZES = 3  # input slot


def repetition(node: ir.Node) -> tuple[int, int] | None:
    """How often a node repeats each pixel of an image, as (rows, columns); None if it does else.

    That is a nearest Resize or Upsample of [N, C, H, W] with fixed shapes, by whole factors, that
    leaves N and C alone. Which pixels it picks is computed, whatever the attributes are called.
    """
    if node.domain or node.op_type not in ("Resize", "Upsample"):
        return None
    if node.attributes.get_string("mode", "nearest") != "nearest":
        return None
    axes = _axes(node)
    if axes is None or len(axes) != 4 or not all(_is_whole(axis) for axis in axes):
        return None
    factors = [axis.after // axis.before for axis in axes]
    rule = _rule(node)
    repeated = all(
        picks(axis, *rule) == np.arange(axis.before).repeat(factor).tolist()
        for axis, factor in zip(axes, factors, strict=True)
    )
    return (factors[2], factors[3]) if repeated and factors[:2] == [1, 1] else None


def repeat(sketch: Sketch, value: ir.Value, like: ir.Node, channels: int) -> ir.Value:
    """The repetition ``like``, of a value [N, channels, H, W]."""
    shape = fixed_shape(like.outputs[0])
    assert shape is not None
    shape = (shape[0], channels, *shape[2:])
    inputs = [value, *like.inputs[1:]]
    sizes = constant(inputs[_SIZES]) if len(inputs) > _SIZES else None
    if sizes is not None and len(sizes) == len(shape):
        inputs[_SIZES] = sketch.weight("sizes", np.array(shape, np.int64))
    return sketch.put(like.op_type, inputs, shape, ".repeated", **dict(like.attributes))


def _axes(node: ir.Node) -> list[Axis] | None:
    if len(node.inputs) > 1:
        return resized_axes(node)
    before, after = fixed_shape(node.inputs[0]), fixed_shape(node.outputs[0])
    if before is None or after is None or 0 in before:
        return None
    scales = node.attributes.get_floats("scales", [])  # Upsample before set 9
    return [Axis(*axis) for axis in zip(before, after, scales, strict=True)]


def _is_whole(axis: Axis) -> bool:
    return axis.after % axis.before == 0


def _rule(node: ir.Node) -> tuple[str, str]:
    """Coordinates and rounding."""
    graph = node.graph
    opset = _RULES_FROM if graph is None else graph.opset_imports.get("", _RULES_FROM)
    if opset < _RULES_FROM:
        return _OLD_RULE
    return (
        node.attributes.get_string("coordinate_transformation_mode", "half_pixel"),
        node.attributes.get_string("nearest_mode", "round_prefer_floor"),
    )
