"""Which pixels a nearest Resize picks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import constant, fixed_shape
from avatar_export.resize import COORDINATES, ROUNDINGS, Axis, nearest

# Coordinates and rounding of a nearest Resize.
Rule = tuple[str, str]

# How the layer rounds that the converter writes, by the coordinates, which it does store: down, or
# to the nearest, where nobody knows what it does half way.
_LAYER_ROUNDS = {"asymmetric": ("floor",), "tf_half_pixel_for_nn": ("floor",)}
_TO_NEAREST = ("round_prefer_floor", "round_prefer_ceil")


def picks(axis: Axis, coordinates: str, rounding: str) -> list[int] | None:
    """For each output element the input element that is its nearest.

    None for a rule that is not known here, and where single and double precision disagree: then
    runtimes may differ too.
    """
    if coordinates not in COORDINATES or rounding not in ROUNDINGS:
        return None
    if axis.scale == 1:
        return list(range(axis.after))
    found = [
        nearest(np.arange(axis.after, dtype=dtype), axis, coordinates, rounding).tolist()
        for dtype in (np.float32, np.float64)
    ]
    return found[0] if found[0] == found[1] else None


def same_picks(axes: Sequence[Axis], one: Rule, other: Rule) -> bool:
    """Whether two rules surely pick the same pixels along all axes."""
    if one == other:
        return True
    mine = [picks(axis, *one) for axis in axes]
    return None not in mine and mine == [picks(axis, *other) for axis in axes]


def survives(axes: Sequence[Axis], rule: Rule, coordinates: str) -> bool:
    """Whether a layer that is stored with ``coordinates`` picks what ``rule`` says.

    nearest_mode is not stored at rank 4 (snpe-onnx-to-dlc 2.25.0.240728 experiment).
    """
    roundings = _LAYER_ROUNDS.get(coordinates, _TO_NEAREST)
    return all(same_picks(axes, rule, (coordinates, rounding)) for rounding in roundings)


def resized_axes(resize: ir.Node) -> list[Axis] | None:
    """The axes of a Resize; None unless its shapes and its scales or sizes are fixed."""
    before, after = fixed_shape(resize.inputs[0]), fixed_shape(resize.outputs[0])
    if before is None or after is None or 0 in before:
        return None
    scales = _scales(resize, before, after)
    if scales is None:
        return None
    return [Axis(*axis) for axis in zip(before, after, scales, strict=True)]


def _scales(resize: ir.Node, before: tuple[int, ...], after: tuple[int, ...]) -> list[float] | None:
    """One scale an axis: as given, or from the sizes where these are given."""
    slot = 1 if len(resize.inputs) == 2 else 2
    given = constant(resize.inputs[slot])
    if given is None or given.size == 0:
        if len(resize.inputs) < 4 or constant(resize.inputs[3]) is None:
            return None
        return [a / b for a, b in zip(after, before, strict=True)]
    axes = resize.attributes.get_ints("axes", range(len(before)))
    scales = np.ones(len(before))
    scales[list(axes)] = given
    return scales.tolist()
