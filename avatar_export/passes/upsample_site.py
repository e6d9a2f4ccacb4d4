"""A convolution of repeated pixels, as every form that takes its place reads it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import fixed_shape, only_consumer
from avatar_export.passes.convolution import Convolution, Numbers, convolution
from avatar_export.passes.repetition import repetition
from avatar_export.passes.site import Proposal, RefusedError, Sketch
from avatar_export.passes.upsample_kernels import Line, Matrix

# Of the largest weight; a pipeline lets results change ten times as much.
_ROUNDING = 1e-6

# Numbers of a new weight: 4x4 taps between 1024 channels. A pixel that is repeated all over an
# image would make a kernel as large as that image.
_MOST_NUMBERS = 2**24


@dataclass(frozen=True)
class UpsampleSite:
    """A convolution of repeated pixels; ``lines`` are its rows and columns."""

    conv: Convolution
    upsample: ir.Node
    lines: tuple[Line, Line]

    @property
    def x(self) -> ir.Value:
        """The image before it is repeated."""
        value = self.upsample.inputs[0]
        assert value is not None
        return value

    @property
    def opset(self) -> int:
        graph = self.conv.node.graph
        assert graph is not None
        return graph.opset_imports[""]

    def kernels(self, rows: Matrix, columns: Matrix) -> Numbers:
        """[O, I / groups, height, width]: the weight after matrices [height or width, taps]."""
        numbers: Numbers = rows @ self.conv.weight @ columns.T
        return numbers

    def typed(self, weight: Numbers) -> np.ndarray:
        """A new weight, in the type of the old one.

        Raises:
            RefusedError: that type rounds it: sums of float16 numbers are no float16 numbers.
        """
        dtype = self.conv.raw_weight.dtype
        with np.errstate(over="ignore"):
            numbers = weight.astype(dtype)
        if np.abs(numbers - weight).max() > _ROUNDING * np.abs(weight).max():
            raise RefusedError(f"{dtype} cannot hold the sums of its weights")
        return numbers

    def proposal(self, sketch: Sketch, result: ir.Value, what: str) -> Proposal:
        """What a sketch holds, in the place of the convolution; ``result`` is its new output.

        The upsampling goes too if nothing else reads it. One that two convolutions share goes
        with the last of them, and its price counts for that one only.
        """
        alone = only_consumer(self.upsample.outputs[0]) is not None
        old = (self.conv.node, self.upsample) if alone else self.conv.nodes
        return Proposal(old, tuple(sketch.nodes), ((self.conv.output, result),), what)


def upsample_site(node: ir.Node) -> UpsampleSite | None:
    """What ``node`` is a part of, if it is a convolution of repeated pixels.

    Raises:
        RefusedError: it is one, of computed numbers.
    """
    if node.op_type != "Conv" or node.domain or not fixed_shape(node.outputs[0]):
        return None
    upsample = node.inputs[0].producer() if node.inputs[0] is not None else None
    factors = None if upsample is None else repetition(upsample)
    if upsample is None or factors is None or factors == (1, 1):
        return None
    conv = convolution(node)
    if conv is None:
        raise RefusedError("its weight or bias is computed")
    return UpsampleSite(conv, upsample, _lines(conv, upsample, factors))


def must_fit(shape: Sequence[int]) -> None:
    """Raise a RefusedError for a weight that would blow up the model."""
    if math.prod(shape) > _MOST_NUMBERS:
        raise RefusedError(f"its weight would be as large as {' x '.join(map(str, shape))}")


def _lines(conv: Convolution, upsample: ir.Node, factors: tuple[int, int]) -> tuple[Line, Line]:
    """Rows and columns: what is repeated, how often, and the kernel that reads it."""
    shape = fixed_shape(upsample.inputs[0])
    assert shape is not None
    pads = _pads(conv)
    rows, columns = (
        Line(shape[2 + n], factors[n], conv.kernel[n], conv.dilations[n], pads[n], pads[2 + n])
        for n in (0, 1)
    )
    return rows, columns


def _pads(conv: Convolution) -> Sequence[int]:
    """Top, left, bottom, right; SAME of a convolution without strides keeps the size."""
    if conv.explicit:
        return conv.pads
    auto = conv.node.attributes.get_string("auto_pad")
    if auto == "VALID":
        return [0, 0, 0, 0]
    gaps = [(k - 1) * d for k, d in zip(conv.kernel, conv.dilations, strict=True)]
    less, more = [gap // 2 for gap in gaps], [gap - gap // 2 for gap in gaps]
    return [*less, *more] if auto == "SAME_UPPER" else [*more, *less]
