"""Two layers with nothing between them become one."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.passes.convolution import (
    Convolution,
    convolution,
    merged_attributes,
    merged_numbers,
)
from avatar_export.passes.linear import Linear, Numbers, linear, linear_of, write_linear
from avatar_export.passes.site import Proposal, RefusedError, SitePass, Sketch, title

_Layer = Linear | Convolution


class MergeLinear(SitePass):
    """Multiply the weights of layers that follow each other without an activation.

        Gemm(W1 [K, H], b1) -> Gemm(W2 [H, N], b2)    M * (K * H + H * N) multiply-adds
        becomes
        Gemm(W1 W2 [K, N], b1 W2 + b2)                M * K * N

    The same for MatMul, with an Add of constants or without, and for convolutions one of which is
    1x1: the second whenever it is unpadded; the first if the second is unpadded or the first has
    no bias, because beyond the border the second sees 0 and not the bias of the first.

    A low-rank factorisation (H small) is cheaper as it is: the price decides. All layers that
    read the first one are merged with it at once. If something else reads it too, it stays.
    """

    name = "merge-linear"

    def options(self, node: ir.Node) -> list[Proposal]:
        second = _layer(node)
        first = _before(second) if second is not None else None
        if second is None or first is None:
            return []
        written = [_merged(first, second)]
        readers = [use.node for use in first.output.uses()]
        others = [reader for reader in readers if reader is not node]
        written += [w for other in others if (w := _merged_too(first, other)) is not None]
        stays = len(written) < len(readers) or first.output.is_graph_output()
        old = [n for layer in ([] if stays else [first]) for n in layer.nodes]
        old += [n for layer, _, _ in written for n in layer.nodes]
        what = f"merged with {title(first.nodes[0])}"
        what += ", which stays for other readers" if stays else ""
        new = tuple(n for _, _, sketch in written for n in sketch.nodes)
        return [Proposal(tuple(old), new, tuple((s.output, v) for s, v, _ in written), what)]


def _layer(node: ir.Node) -> _Layer | None:
    return linear(node) or convolution(node)


def _before(second: _Layer) -> _Layer | None:
    """The layer that makes what ``second`` reads, if the two are of a kind that can be merged."""
    if isinstance(second, Linear):
        return None if second.transposed else linear_of(second.x)
    maker = second.x.producer()
    first = convolution(maker) if maker is not None else None
    if first is None or not (first.is_pointwise or second.is_pointwise):
        return None
    return first


_Written = tuple[_Layer, ir.Value, Sketch]


def _merged_too(first: _Layer, other: ir.Node) -> _Written | None:
    """Another reader of the first layer merged with it; None if that cannot be."""
    second = _layer(other) if other.graph is first.nodes[0].graph else None
    if second is None or second.x is not first.output or _before(second) is None:
        return None
    try:
        return _merged(first, second)
    except RefusedError:
        return None


def _merged(first: _Layer, second: _Layer) -> _Written:
    """``second`` as a layer that reads what ``first`` reads: the new value, and its nodes.

    Raises:
        RefusedError: there is no such layer.
    """
    sketch = Sketch(second.nodes[0])
    kind = second.raw_weight.dtype
    if isinstance(first, Convolution):
        assert isinstance(second, Convolution)
        weight, bias = merged_numbers(first, second)
        inputs = [first.x, sketch.weight("weight", weight.astype(kind))]
        inputs += [] if bias is None else [sketch.weight("bias", bias.astype(kind))]
        attributes = merged_attributes(first, second)
        return second, sketch.put("Conv", inputs, second.shape, **attributes), sketch
    assert isinstance(second, Linear)
    weight, bias = first.weight @ second.weight, _bias(first, second)
    numbers = weight.astype(kind), None if bias is None else bias.astype(kind)
    gemm = first.is_gemm or second.is_gemm
    value = write_linear(sketch, first.x, numbers, second.shape, gemm, first.transposed)
    return second, value, sketch


def _bias(first: Linear, second: Linear) -> Numbers | None:
    """b1 W2 + b2."""
    if first.bias is None:
        return second.bias
    wide = np.broadcast_to(first.bias, (*first.bias.shape[:-1], second.weight.shape[0]))
    return wide @ second.weight + (0 if second.bias is None else second.bias)
