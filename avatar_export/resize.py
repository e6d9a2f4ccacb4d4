"""Which pixels a Resize reads along one axis, by its definition in the ONNX operator reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.floating]


@dataclass(frozen=True)
class Axis:
    """One axis of a Resize: elements before and after, and the scale it calculates with."""

    before: int
    after: int
    scale: float


COORDINATES: dict[str, Callable[[Pixels, Axis], Pixels]] = {
    "asymmetric": lambda i, axis: i / _typed(i, axis.scale),
    "half_pixel": lambda i, axis: (i + _typed(i, 0.5)) / _typed(i, axis.scale) - _typed(i, 0.5),
    "pytorch_half_pixel": lambda i, axis: (
        COORDINATES["half_pixel"](i, axis) if axis.after > 1 else i * 0
    ),
    "tf_half_pixel_for_nn": lambda i, axis: (i + _typed(i, 0.5)) / _typed(i, axis.scale),
    "align_corners": lambda i, axis: (
        i * _typed(i, axis.before - 1) / _typed(i, axis.after - 1) if axis.after > 1 else i * 0
    ),
}
"""Where output elements lie in the input, in the precision in which they are counted."""

ROUNDINGS: dict[str, Callable[[Pixels], Pixels]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x - _typed(x, 0.5)),
    "round_prefer_ceil": lambda x: np.floor(x + _typed(x, 0.5)),
}
"""Which element is nearest, by ``nearest_mode``."""


def nearest(pixels: Pixels, axis: Axis, coordinates: str, rounding: str) -> NDArray[np.int64]:
    """Input element of each output element of a nearest resize.

    Raises:
        KeyError: the coordinates or the rounding are not known.
    """
    at = ROUNDINGS[rounding](COORDINATES[coordinates](pixels, axis))
    return at.clip(0, axis.before - 1).astype(np.int64)


def _typed(like: Pixels, number: float) -> np.floating:
    """A number in the precision of ``like``: numpy must not widen or narrow it."""
    return like.dtype.type(number)
