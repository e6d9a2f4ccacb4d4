"""Multiply-adds of the operators that have most of them, by the shapes of their operands."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def macs(
    operator: str, x: Sequence[int], w: Sequence[int], y: Sequence[int], transposed: bool = False
) -> int:
    """Multiply-adds of one node; 0 for operators that are not counted.

    A convolution does C_in / groups * kernel of them for each number it writes; a transposed
    convolution O / groups * kernel for each number it reads; a matrix product K for each number
    it writes. Norms, activations, resizing, and sampling are not counted, as is usual.

    Args:
        x, w, y: shapes of first operand, second operand and result.
        transposed: whether a Gemm reads its first operand [K, M].
    """
    if not x or not w or operator not in OPERATORS:
        return 0
    if operator == "Conv":
        return prod(y) * prod(w[1:])
    if operator == "ConvTranspose":
        return prod(x) * prod(w[1:])
    return prod(y) * (x[-2] if transposed and len(x) > 1 else x[-1])
