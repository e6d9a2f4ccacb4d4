"""The limits of half precision (IEEE 754 binary16), and float32 constants held against them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from avatar_export.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

HALF_MAX = 65504.0  # largest finite half
HALF_TINY = 2.0**-14  # 6.1e-5, smallest normal half: below it an Adreno may flush to zero


@dataclass(frozen=True)
class Loss:
    """What half precision does to one constant.

    Args:
        size: number of values.
        subnormal: values, zeros of the float32 tensor apart, whose half is subnormal or zero.
        zero: those of them whose half is zero.
        max_relative_error: largest |half - value| / |value| over the ``subnormal`` ones.
        smallest: smallest non-zero magnitude in float32.
        non_finite: values that are nan or infinite, in float32 and half alike.
        unbounded: finite values beyond 65504 that became infinite, on request only.
    """

    size: int
    subnormal: int = 0
    zero: int = 0
    max_relative_error: float = 0.0
    smallest: float = math.inf
    non_finite: int = 0
    unbounded: int = 0


def to_half(
    values: NDArray[Any], tensor: str, node: str, *, unbounded: bool = False
) -> tuple[NDArray[np.float16], Loss]:
    """Round float32 ``values`` to nearest-even half, and say what was lost.

    Args:
        tensor: the name to blame.
        node: the node that reads the tensor, to blame as well.
        unbounded: let a finite value beyond the range become infinite. Exact for a bound of a
            Clip only, which no half value can reach.

    Raises:
        ModelError: a finite value lies beyond 65504 and ``unbounded`` is not set.
    """
    exact = np.asarray(values, np.float32)
    beyond = np.isfinite(exact) & (np.abs(exact) > HALF_MAX)
    if beyond.any() and not unbounded:
        worst = float(exact[beyond][np.argmax(np.abs(exact[beyond]))])
        raise ModelError(
            f"tensor {tensor!r} of node {node!r} holds {worst:g}, beyond the largest half "
            f"{HALF_MAX:g} ({int(beyond.sum())} of {exact.size} values)",
            "fold it into a neighbouring layer, rescale it by a power of two, or write a mask "
            "value as -inf",
        )
    with np.errstate(over="ignore"):
        half = np.where(beyond, np.copysign(np.inf, exact), exact).astype(np.float16)
    return half, _loss(exact, half, int(beyond.sum()))


def _loss(exact: NDArray[np.float32], half: NDArray[np.float16], unbounded: int) -> Loss:
    magnitude, rounded = np.abs(exact), np.abs(half)
    nonzero = magnitude > 0.0
    small = nonzero & (rounded < HALF_TINY)
    true = magnitude[small].astype(np.float64)
    errors = np.abs(rounded[small] - true) / true
    return Loss(
        size=exact.size,
        subnormal=int(small.sum()),
        zero=int((small & (rounded == 0.0)).sum()),
        max_relative_error=float(np.max(errors, initial=0.0)),
        smallest=float(np.min(magnitude[nonzero], initial=math.inf)),
        non_finite=int((~np.isfinite(exact)).sum()),
        unbounded=unbounded,
    )
