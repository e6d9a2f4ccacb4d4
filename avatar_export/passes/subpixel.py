"""A convolution of repeated pixels as phases at the small size, put side by side.

The pixels (i, j) of the result that leave the same remainders of i and j by the factor f are a
phase. One convolution of the small image has the f * f phases as channels; a DepthToSpace or a
Gather makes one image of them.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.passes.gather_pixels import gathered, interleaving
from avatar_export.passes.site import Proposal, RefusedError, Sketch
from avatar_export.passes.upsample_kernels import Phases
from avatar_export.passes.upsample_site import UpsampleSite, must_fit

_MODES_FROM = 11  # operator set in which DepthToSpace learned a second order of channels
_SLICE_INPUTS_FROM = 10


def subpixel(site: UpsampleSite) -> list[Proposal]:
    """The phases interleaved by a DepthToSpace, and by a Gather.

    gather-pixels would make the second of the first, but on some runtimes only the second pays.

    Raises:
        RefusedError: one convolution cannot have all phases.
    """
    weight = _weight(site)
    return [_interleaved(site, weight), _gathered(site, weight)]


def _interleaved(site: UpsampleSite, weight: np.ndarray) -> Proposal:
    sketch = Sketch(site.conv.node)
    phases = _phases(sketch, site, weight)
    rows, columns = _axes(site)
    shape = (*site.conv.shape[:2], rows.written, columns.written)
    mode = {"mode": "DCR"} if site.opset >= _MODES_FROM else {}
    blocks = {"blocksize": rows.line.factor, **mode}
    whole = sketch.put("DepthToSpace", [phases], shape, ".interleaved", **blocks)
    result = whole if shape == site.conv.shape else _cropped(sketch, whole, site)
    return site.proposal(sketch, result, "phases at the small size, interleaved")


def _gathered(site: UpsampleSite, weight: np.ndarray) -> Proposal:
    sketch = Sketch(site.conv.node)
    phases = _phases(sketch, site, weight)
    rows, columns = _axes(site)
    batch, channels, height, width = site.conv.shape
    pixels = interleaving(batch, rows.length, columns.length, rows.line.factor)
    top, left = rows.skipped, columns.skipped
    taken = pixels[:, top : top + height, left : left + width]
    result = gathered(sketch, phases, taken, channels)
    what = "phases at the small size, their pixels put in order by a Gather"
    return site.proposal(sketch, result, what)


def _axes(site: UpsampleSite) -> tuple[Phases, Phases]:
    rows, columns = site.lines
    return Phases(rows), Phases(columns)


def _weight(site: UpsampleSite) -> np.ndarray:
    """[f * f * O, I, height, width]; the f * f phases of an output lie O channels apart.

    Raises:
        RefusedError: there is no such weight, or it is too large.
    """
    conv = site.conv
    rows, columns = _axes(site)
    factor = rows.line.factor
    if factor != columns.line.factor:
        raise RefusedError("rows and columns are repeated by different factors")
    if conv.groups != 1:
        raise RefusedError("a convolution in groups keeps its channels together")
    outputs, channels, *_ = conv.raw_weight.shape
    shape = (factor**2 * outputs, channels, rows.kernel, columns.kernel)
    must_fit(shape)
    matrices = (axis.matrix().reshape(-1, axis.line.kernel) for axis in (rows, columns))
    kernels = site.kernels(*matrices)
    blocks = kernels.reshape(outputs, channels, factor, rows.kernel, factor, columns.kernel)
    return site.typed(blocks.transpose(2, 4, 0, 1, 3, 5).reshape(shape))


def _phases(sketch: Sketch, site: UpsampleSite, weight: np.ndarray) -> ir.Value:
    """All phases of the result, [N, f * f * O, h, w]."""
    conv = site.conv
    rows, columns = _axes(site)
    inputs = [site.x, sketch.weight("weight", weight)]
    if conv.raw_bias is not None:
        bias = np.tile(conv.raw_bias, rows.line.factor**2)
        inputs.append(sketch.weight("bias", bias))
    return sketch.put(
        "Conv",
        inputs,
        (conv.shape[0], len(weight), rows.length, columns.length),
        kernel_shape=weight.shape[2:],
        pads=[rows.begin, columns.begin, rows.end, columns.end],
    )


def _cropped(sketch: Sketch, whole: ir.Value, site: UpsampleSite) -> ir.Value:
    """The interleaved phases, cut to the size of the result."""
    shape = site.conv.shape
    starts = tuple(phases.skipped for phases in _axes(site))
    ends = tuple(start + size for start, size in zip(starts, shape[2:], strict=True))
    numbers = {"starts": starts, "ends": ends, "axes": (2, 3)}
    if site.opset < _SLICE_INPUTS_FROM:
        return sketch.put("Slice", [whole], shape, ".cropped", **numbers)
    values = [sketch.weight(name, np.array(n, np.int64)) for name, n in numbers.items()]
    return sketch.put("Slice", [whole, *values], shape, ".cropped")
