"""A convolution of repeated pixels reads each pixel once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import only_consumer
from avatar_export.passes.convolution import Convolution, Numbers, convolution
from avatar_export.passes.gather_pixels import gathered, interleaving
from avatar_export.passes.goal import UpsampleForm
from avatar_export.passes.repetition import repetition
from avatar_export.passes.site import Proposal, RefusedError, SitePass, Sketch, fixed_shape
from avatar_export.passes.upsample_kernels import Deconvolution, Line, Phases

_MODES_FROM = 11  # operator set in which DepthToSpace learned a second order of channels
_SLICE_INPUTS_FROM = 10

# Of the largest weight; a pipeline lets results change ten times as much.
_ROUNDING = 1e-6

# Numbers of a new weight: 4x4 taps between 1024 channels. A pixel that is repeated all over an
# image would make a kernel as large as that image.
_MOST_NUMBERS = 2**24


class UpsampleConv(SitePass):
    """Nearest upsampling and the convolution after it become one layer at the small size.

        Conv(K x K, pads p)(Resize(f)(x))
        becomes
        deconv:    ConvTranspose(K + f - 1, stride f, pads K - 1 - p)(x)
        subpixel:  Slice(DepthToSpace(f)(Conv(n x n, f * f * C channels)(x))),
                   or the same with a Gather in the place of both (gather-pixels)

    Upsampling repeats pixels, and the convolution multiplies each of them by several taps that
    may as well be summed first. For f = 2 and a kernel w0 w1 w2 padded by 1, in each axis,

        y[2i]     = w0 x[i-1] + (w1 + w2) x[i]
        y[2i + 1] = (w0 + w1) x[i] + w2 x[i+1]

    which is a transposed convolution by [w2, w1 + w2, w0 + w1, w0], or two kernels of two taps
    whose results are interleaved: 16 multiply-adds a small pixel instead of 36. Beyond the border
    x is zero and so is what repeats it: border pixels are exact. The kernels for any size, factor
    and padding are in upsample_kernels.py. Interleaving writes more lines than are needed where
    the padding is no multiple of f; the Slice cuts them off.
    """

    name = "upsample-conv"

    def options(self, node: ir.Node) -> list[Proposal]:
        upsample = _upsample(node)
        if upsample is None:
            return []
        site = _Site.of(node, upsample)
        if all(line.reach == 1 for line in site.lines):
            return []  # pointwise-before-upsample has it
        if any(stride != 1 for stride in site.conv.strides):
            raise RefusedError("the convolution has strides")
        if self.goal.upsample == "resize":
            raise RefusedError("kept as a resize, as asked")
        found: list[Proposal] = []
        refusals: list[RefusedError] = []
        for form, make in _FORMS:
            if self.goal.upsample in (None, form):
                try:
                    found.append(make(site, self.goal.upsample is not None))
                except RefusedError as refusal:
                    refusals.append(refusal)
        if not found:
            raise refusals[0]
        return found


@dataclass(frozen=True)
class _Site:
    """A convolution of repeated pixels; ``lines`` are its rows and columns."""

    conv: Convolution
    upsample: ir.Node
    lines: tuple[Line, Line]

    @classmethod
    def of(cls, node: ir.Node, upsample: ir.Node) -> _Site:
        """Read a convolution.

        Raises:
            RefusedError: its numbers are computed.
        """
        conv = convolution(node)
        if conv is None:
            raise RefusedError("its weight or bias is computed")
        return cls(conv, upsample, _lines(conv, upsample))

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

    def bias(self, sketch: Sketch) -> ir.Value | None:
        """That of the convolution, or zeros: SNPE 1.17 and 1.43 demand one of a ConvTranspose."""
        if self.conv.raw_bias is not None:
            return self.conv.node.inputs[2]
        outputs = len(self.conv.raw_weight)
        return sketch.weight("bias", np.zeros(outputs, self.conv.raw_weight.dtype))

    def proposal(self, sketch: Sketch, result: ir.Value, what: str, wanted: bool) -> Proposal:
        """The upsampling goes too, if nothing else reads it."""
        alone = only_consumer(self.upsample.outputs[0]) is not None
        old = (self.conv.node, self.upsample) if alone else self.conv.nodes
        stands_for = ((self.conv.output, result),)
        return Proposal(old, tuple(sketch.nodes), stands_for, what, wanted)


def _deconvolution(site: _Site, wanted: bool) -> Proposal:
    conv = site.conv
    rows, columns = (Deconvolution(line) for line in site.lines)
    pads = [rows.begin, columns.begin, rows.end, columns.end]
    if min(pads) < 0:
        raise RefusedError("it is padded by more than its kernel reaches")
    outputs, inputs, *taps = conv.weight.shape
    shape = (inputs * conv.groups, outputs // conv.groups, rows.kernel, columns.kernel)
    _must_fit(shape)
    blocks = conv.weight.reshape(conv.groups, -1, inputs, *taps)
    kernel = np.einsum("ak,goikl,bl->gioab", rows.matrix(), blocks, columns.matrix())
    sketch = Sketch(conv.node)
    result = sketch.put(
        "ConvTranspose",
        [site.x, sketch.weight("weight", site.typed(kernel.reshape(shape))), site.bias(sketch)],
        conv.shape,
        kernel_shape=shape[2:],
        strides=[line.factor for line in site.lines],
        pads=pads,
        group=conv.groups,
    )
    return site.proposal(sketch, result, "one transposed convolution", wanted)


def _subpixel(site: _Site, wanted: bool) -> Proposal:
    sketch = Sketch(site.conv.node)
    result = _interleaved(sketch, _phases(sketch, site), site)
    return site.proposal(sketch, result, "phases at the small size, interleaved", wanted)


def _gathered(site: _Site, wanted: bool) -> Proposal:
    """As gather-pixels would write it: priced here, because the form before it may not pay."""
    sketch = Sketch(site.conv.node)
    fine = _phases(sketch, site)
    rows, columns = (Phases(line) for line in site.lines)
    batch, channels, height, width = site.conv.shape
    every = interleaving(batch, rows.length, columns.length, site.lines[0].factor)
    taken = every[
        :, rows.skipped : rows.skipped + height, columns.skipped : columns.skipped + width
    ]
    result = gathered(sketch, fine, taken, channels)
    what = "phases at the small size, their pixels put in order by a Gather"
    return site.proposal(sketch, result, what, wanted)


def _phases(sketch: Sketch, site: _Site) -> ir.Value:
    """All phases of the result, [N, f * f * O, h, w].

    Raises:
        RefusedError: they cannot be computed by one convolution.
    """
    conv = site.conv
    factor, other = (line.factor for line in site.lines)
    if factor != other:
        raise RefusedError("rows and columns are repeated by different factors")
    if conv.groups != 1:
        raise RefusedError("a convolution in groups keeps its channels together")
    rows, columns = (Phases(line) for line in site.lines)
    outputs, channels, *_ = conv.weight.shape
    shape = (factor**2 * outputs, channels, rows.kernel, columns.kernel)
    _must_fit(shape)
    phases = np.einsum("pak,oikl,qbl->pqoiab", rows.matrix(), conv.weight, columns.matrix())
    inputs = [site.x, sketch.weight("weight", site.typed(phases.reshape(shape)))]
    if conv.raw_bias is not None:
        inputs.append(sketch.weight("bias", np.tile(conv.raw_bias, factor**2)))
    return sketch.put(
        "Conv",
        inputs,
        (conv.shape[0], shape[0], rows.length, columns.length),
        kernel_shape=shape[2:],
        pads=[rows.begin, columns.begin, rows.end, columns.end],
    )


# In the order that decides between equal prices. What the user calls subpixel has two spellings.
_FORMS: tuple[tuple[UpsampleForm, Callable[[_Site, bool], Proposal]], ...] = (
    ("deconv", _deconvolution),
    ("subpixel", _subpixel),
    ("subpixel", _gathered),
)


def _must_fit(shape: Sequence[int]) -> None:
    """Raise a RefusedError for a weight that would blow up the model."""
    if math.prod(shape) > _MOST_NUMBERS:
        raise RefusedError(f"its weight would be as large as {' x '.join(map(str, shape))}")


def _interleaved(sketch: Sketch, fine: ir.Value, site: _Site) -> ir.Value:
    """The phases [N, f * f * O, h, w] of an image, put side by side and cut to its size."""
    rows, columns = (Phases(line) for line in site.lines)
    shape = (*site.conv.shape[:2], rows.written, columns.written)
    mode = {"mode": "DCR"} if site.opset >= _MODES_FROM else {}
    blocks = {"blocksize": site.lines[0].factor, **mode}
    whole = sketch.put("DepthToSpace", [fine], shape, ".interleaved", **blocks)
    if shape == site.conv.shape:
        return whole
    starts = (rows.skipped, columns.skipped)
    ends = (start + size for start, size in zip(starts, site.conv.shape[2:], strict=True))
    numbers = {"starts": starts, "ends": tuple(ends), "axes": (2, 3)}
    if site.opset < _SLICE_INPUTS_FROM:
        return sketch.put("Slice", [whole], site.conv.shape, ".cropped", **numbers)
    values = [sketch.weight(name, np.array(n, np.int64)) for name, n in numbers.items()]
    return sketch.put("Slice", [whole, *values], site.conv.shape, ".cropped")


def _upsample(conv: ir.Node) -> ir.Node | None:
    """The repetition that a convolution of an image reads, if it does."""
    if conv.op_type != "Conv" or conv.domain or not fixed_shape(conv.outputs[0]):
        return None
    before = conv.inputs[0].producer() if conv.inputs[0] is not None else None
    found = None if before is None else repetition(before)
    return None if found in (None, (1, 1)) else before


def _lines(conv: Convolution, upsample: ir.Node) -> tuple[Line, Line]:
    """Rows and columns: what is repeated, how often, and the kernel that reads it."""
    shape, factors = fixed_shape(upsample.inputs[0]), repetition(upsample)
    assert shape is not None and factors is not None
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
