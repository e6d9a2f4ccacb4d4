"""A convolution of repeated pixels reads each pixel once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from avatar_export.passes.goal import UpsampleForm
from avatar_export.passes.site import Proposal, RefusedError, SitePass, Sketch
from avatar_export.passes.subpixel import subpixel
from avatar_export.passes.upsample_kernels import Deconvolution
from avatar_export.passes.upsample_site import UpsampleSite, must_fit, upsample_site


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
        site = upsample_site(node)
        if site is None or all(line.reach == 1 for line in site.lines):
            return []  # what reads one pixel is for pointwise-before-upsample
        if any(stride != 1 for stride in site.conv.strides):
            raise RefusedError("the convolution has strides")
        if self.goal.upsample is None:
            return _options(site, tuple(_FORMS))
        if self.goal.upsample == "resize":
            raise RefusedError("kept as a resize, as asked")
        wanted = _options(site, (self.goal.upsample,))
        return [replace(option, wanted=True) for option in wanted]


def _options(site: UpsampleSite, forms: tuple[UpsampleForm, ...]) -> list[Proposal]:
    """The site in all spellings of some forms.

    Raises:
        RefusedError: none of them is possible; says why the first is not.
    """
    found: list[Proposal] = []
    refusals: list[RefusedError] = []
    for form in forms:
        try:
            found += _FORMS[form](site)
        except RefusedError as refusal:
            refusals.append(refusal)
    if not found:
        raise refusals[0]
    return found


def _deconvolution(site: UpsampleSite) -> list[Proposal]:
    conv = site.conv
    rows, columns = (Deconvolution(line) for line in site.lines)
    pads = [rows.begin, columns.begin, rows.end, columns.end]
    if min(pads) < 0:
        raise RefusedError("it is padded by more than its kernel reaches")
    outputs, inputs, *_ = conv.raw_weight.shape
    shape = (inputs * conv.groups, outputs // conv.groups, rows.kernel, columns.kernel)
    must_fit(shape)
    kernels = site.kernels(rows.matrix(), columns.matrix())
    blocks = kernels.reshape(conv.groups, -1, inputs, *shape[2:])
    weight = site.typed(blocks.swapaxes(1, 2).reshape(shape))
    sketch = Sketch(conv.node)
    result = sketch.put(
        "ConvTranspose",
        [site.x, sketch.weight("weight", weight), _bias(sketch, site)],
        conv.shape,
        kernel_shape=shape[2:],
        strides=[line.factor for line in site.lines],
        pads=pads,
        group=conv.groups,
    )
    return [site.proposal(sketch, result, "one transposed convolution")]


def _bias(sketch: Sketch, site: UpsampleSite) -> ir.Value | None:
    """That of the convolution, or zeros: SNPE 1.17 and 1.43 demand one of a ConvTranspose."""
    weight = site.conv.raw_weight
    if site.conv.raw_bias is not None:
        return site.conv.node.inputs[2]
    return sketch.weight("bias", np.zeros(len(weight), weight.dtype))


# In the order that decides between equal prices.
_FORMS: dict[UpsampleForm, Callable[[UpsampleSite], list[Proposal]]] = {
    "deconv": _deconvolution,
    "subpixel": subpixel,
}
