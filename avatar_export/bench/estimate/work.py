"""What one kernel does, as far as its price depends on it."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """One node of a graph.

    Attributes:
        kind: name that its rates are listed under: the ONNX operator, or ``DepthwiseConv`` where a
            convolution keeps all channels apart, or ``LinearResize`` where no pixel is repeated.
        inputs: shapes of the tensors it reads that are computed or fed.
        outputs: shapes of what it writes.
        weights: constant numbers it reads.
        macs: multiply-adds, as ``avatar_export.macs`` counts them.
        channels: input and output channels of one group that a convolution multiplies by each
            other; both 0 for other operators.
        groups: of a convolution.
        spread: numbers that a transposed convolution computes before it adds up those that
            overlap: output channels of a group * kernel * input pixels * groups.
        follows: operator of the layer whose result it alone reads, and may be merged into; empty
            where there is none.
    """

    kind: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    weights: int = 0
    macs: int = 0
    channels: tuple[int, int] = (0, 0)
    groups: int = 1
    spread: int = 0
    follows: str = ""
