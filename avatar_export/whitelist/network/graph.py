"""A network as a DLC stores it, in the terms of the tables and of no file format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Parameter = int | float | str | NDArray[np.generic]
Parameters = Mapping[str, Parameter]

_FIXED = ("ufixed", "sfixed")


@dataclass(frozen=True)
class Tensor:
    """A tensor as stored.

    Attributes:
        dtype: QNN name as in the tables, such as ``f32``; ``ufixed8`` and the like if quantised.
        constant: whether the DLC holds its values.
    """

    shape: Shape
    dtype: str
    constant: bool = False

    @property
    def is_fixed(self) -> bool:
        """Whether the values are quantised."""
        return self.dtype.startswith(_FIXED)


@dataclass(frozen=True)
class Operation:
    """An operation as stored.

    Attributes:
        kind: stored type, such as ``Eltwise_Binary``.
        inputs: names of tensors; empty for one that is left out.
        parameters: attributes by their stored names.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """A network as stored, its operations in execution order."""

    name: str
    operations: tuple[Operation, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
