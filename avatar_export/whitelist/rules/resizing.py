"""Named rules about resizing: which pixels ONNX asks for, and which the stored layer picks.

The layer holds sizes and a rule for coordinates, but no rule for rounding. Taken here: floor for
asymmetric coordinates, else round; with these the DLCs of a converter computed what their models
say wherever ONNX asks for the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from avatar_export.whitelist.rules.predicates import predicate
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView, UndeterminedError

Pixels = NDArray[np.floating]
_AT_MOST = 1 << 16  # pixels of an axis that are compared; rounding repeats long before


def _axes_resized(node: NodeView) -> list[tuple[int, int, float]]:
    """Size before, size after and scale of each axis that changes."""
    before, after = node.shape(), node.output_shape()
    scales = _scales(node) or [b / a if a else 1.0 for a, b in zip(before, after, strict=True)]
    if not all(scale > 0 for scale in scales):
        raise UndeterminedError(f"the scales {scales} are not positive")
    rows = zip(before, after, scales, strict=True)
    return [(a, b, scale) for a, b, scale in rows if a and (a != b or scale != 1)]


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


def _coordinates(mode: str, before: int, after: int, scale: float) -> Pixels:
    """Where each output pixel lies in the input, by the definition of Resize, in float32."""
    pixel = np.arange(min(after, _AT_MOST), dtype=np.float32)
    ratio = np.float32(scale)
    if mode == "align_corners":
        return pixel * np.float32((before - 1) / (after - 1)) if after > 1 else pixel * 0
    if mode == "asymmetric":
        return pixel / ratio
    if mode == "tf_half_pixel_for_nn":
        return (pixel + np.float32(0.5)) / ratio
    if mode == "pytorch_half_pixel" and after == 1:
        return pixel * 0
    return (pixel + np.float32(0.5)) / ratio - np.float32(0.5)


_ROUNDINGS: dict[str, Callable[[Pixels], Pixels]] = {
    "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
    "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _stored_pixels(mode: str, before: int, after: int) -> NDArray[np.int64]:
    """Pixels that a runtime picks from what is stored: floor for asymmetric, else round.

    Whole numbers only, so that ties are exact; halves go up.
    """
    pixel = np.arange(min(after, _AT_MOST), dtype=np.int64)
    if mode == "asymmetric":
        return pixel * before // after
    if mode == "align_corners":
        span = max(after - 1, 1)
        return (2 * pixel * (before - 1) + span) // (2 * span)
    return (2 * pixel + 1) * before // (2 * after)


@predicate
def stored_rounding(node: NodeView, target: Target) -> str:
    """A nearest resize picks the pixels that are picked without its ``nearest_mode``."""
    mode, rounding = (
        _text(node, name) for name in ("coordinate_transformation_mode", "nearest_mode")
    )
    for before, after, scale in _axes_resized(node):
        asked = _ROUNDINGS[rounding](_coordinates(mode, before, after, scale))
        picked = np.clip(asked, 0, before - 1).astype(np.int64)
        stored = np.clip(_stored_pixels(mode, before, after), 0, before - 1)
        if (picked != stored).any():
            return (
                f"{rounding} at {mode} from {before} to {after} picks other pixels than"
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
    for before, after, scale in _axes_resized(node):
        asked = np.clip(_coordinates("asymmetric", before, after, scale), 0, before - 1)
        if linear:
            stored = np.clip(_coordinates("half_pixel", before, after, scale), 0, before - 1)
            same = np.allclose(asked, stored, atol=1e-4)
        else:
            pixels = np.floor(asked) if after >= before else np.ceil(asked)
            same = bool((pixels == _stored_pixels("half_pixel", before, after)).all())
        if not same:
            return f"asymmetric from {before} to {after} is written as half_pixel"
    return ""


@predicate
def size_cut(node: NodeView, target: Target) -> str:
    """Sizes made of scales, which ONNX cuts, come out the same when they are rounded."""
    sizes = zip(node.shape(), _scales(node), node.output_shape(), strict=False)
    for before, scale, after in sizes:
        if round(before * scale) != after:
            return f"{before} times {scale:g} is {after} in ONNX, and {round(before * scale)} here"
    return ""
