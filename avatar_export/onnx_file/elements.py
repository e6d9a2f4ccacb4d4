"""How much room the elements of an ONNX tensor take (onnx.proto, TensorProto)."""

from __future__ import annotations

import re
from functools import cache
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_UNNUMBERED = {"FLOAT": 32, "DOUBLE": 64, "BOOL": 8, "STRING": 0}
"""Bits of the types whose names do not say it."""


@cache
def bits(data_type: int) -> int:
    """Bits of one element: the first number in the name of its type; 0 for strings."""
    import onnx

    name = onnx.TensorProto.DataType.Name(data_type)
    number = re.search(r"\d+", name)
    return int(number.group()) if number else _UNNUMBERED[name]


def count(tensor: onnx.TensorProto) -> int:
    """Elements that the shape stands for."""
    return int(prod(tensor.dims))


def nbytes(tensor: onnx.TensorProto) -> int:
    """Bytes of the tensor as raw data; types below a byte are packed."""
    total = count(tensor) * bits(tensor.data_type)
    return -(-total // 8)


def entries(tensor: onnx.TensorProto) -> int:
    """Entries of the tensor in its typed field: packed bytes, and two for a complex number."""
    import onnx

    if tensor.data_type in (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128):
        return 2 * count(tensor)
    # Types of 6 bits are packed as raw data, but not in their typed field (onnx 1.23).
    packed = bits(tensor.data_type) in (2, 4)
    return nbytes(tensor) if packed else count(tensor)
