"""Named rules about resizing: which pixels ONNX asks for, and which the stored layer picks.

The layer holds sizes and a rule for coordinates, but no rule for rounding. Taken here: floor for
asymmetric coordinates, else round; with these the DLCs of a converter computed what their models
say wherever ONNX asks for the same pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatar_export.resize import COORDINATES, Axis, Pixels, nearest
from avatar_export.whitelist.rules.predicates import predicate
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView, UndeterminedError

_AT_MOST = 1 << 16  # pixels of an axis that are compared; rounding repeats long before


def _axes_resized(node: NodeView) -> list[Axis]:
    """The axes that change."""
    before, after = node.shape(), node.output_shape()
    scales = _scales(node) or [b / a if a else 1.0 for a, b in zip(before, after, strict=True)]
    if not all(scale > 0 for scale in scales):
        raise UndeterminedError(f"the scales {scales} are not positive")
    rows = zip(before, after, scales, strict=True)
    return [Axis(a, b, scale) for a, b, scale in rows if a and (a != b or scale != 1)]


def _scales(node: NodeView) -> list[float]:
    index = 1 if len(node.inputs) == 2 else 2
    if not node.has(index):
        return []
    scales = [float(v) for v in node.model.value(node.inputs[index]).ravel()]
    axes = node.ints("axes")
    if axes is None:
        return scales
    named = dict(zip((axis % node.rank() for axis in axes), scales, strict=True))
    return [named.get(axis, 1.0) for axis in range(node.rank())]


def _pixels(axis: Axis) -> Pixels:
    """Output elements in float32, as ONNX Runtime counts them."""
    return np.arange(min(axis.after, _AT_MOST), dtype=np.float32)


def _stored_pixels(mode: str, axis: Axis) -> NDArray[np.int64]:
    """Pixels that a runtime picks from what is stored: floor for asymmetric, else round.

    Whole numbers only, so that ties are exact; halves go up.
    """
    before, after = axis.before, axis.after
    pixel = np.arange(min(after, _AT_MOST), dtype=np.int64)
    if mode == "asymmetric":
        picked = pixel * before // after
    elif mode == "align_corners":
        span = max(after - 1, 1)
        picked = (2 * pixel * (before - 1) + span) // (2 * span)
    else:
        picked = (2 * pixel + 1) * before // (2 * after)
    return picked.clip(0, before - 1)


@predicate
def stored_rounding(node: NodeView, target: Target) -> str:
    """A nearest resize picks the pixels that are picked without its ``nearest_mode``."""
    mode, rounding = (
        _text(node, name) for name in ("coordinate_transformation_mode", "nearest_mode")
    )
    for axis in _axes_resized(node):
        asked = nearest(_pixels(axis), axis, mode, rounding)
        if (asked != _stored_pixels(mode, axis)).any():
            return (
                f"{rounding} at {mode} from {axis.before} to {axis.after} picks other pixels than"
                f" {'floor' if mode == 'asymmetric' else 'round'} does"
            )
    return ""


def _text(node: NodeView, name: str) -> str:
    value = node.attribute(name)
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


@predicate
def same_at_half_pixels(node: NodeView, target: Target) -> str:
    """An asymmetric resize of operator set 10 reads the same pixels with half-pixel centres."""
    linear = _text(node, "mode") == "linear"
    for axis in _axes_resized(node):
        if not (_same_places(axis) if linear else _same_pixels(axis)):
            return f"asymmetric from {axis.before} to {axis.after} is written as half_pixel"
    return ""


def _same_places(axis: Axis) -> bool:
    """Whether asymmetric and half-pixel coordinates agree inside the image."""
    modes = ("asymmetric", "half_pixel")
    asked, stored = (COORDINATES[m](_pixels(axis), axis).clip(0, axis.before - 1) for m in modes)
    return bool(np.allclose(asked, stored, atol=1e-4))


def _same_pixels(axis: Axis) -> bool:
    """Whether set 10, which cuts when it enlarges, picks what half-pixel centres pick."""
    rounding = "floor" if axis.after >= axis.before else "ceil"
    asked = nearest(_pixels(axis), axis, "asymmetric", rounding)
    return bool((asked == _stored_pixels("half_pixel", axis)).all())


@predicate
def size_cut(node: NodeView, target: Target) -> str:
    """Sizes made of scales, which ONNX cuts, come out the same when they are rounded."""
    sizes = zip(node.shape(), _scales(node), node.output_shape(), strict=False)
    for before, scale, after in sizes:
        if round(before * scale) != after:
            return f"{before} times {scale:g} is {after} in ONNX, and {round(before * scale)} here"
    return ""
