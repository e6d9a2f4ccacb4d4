"""Convolutions whose weight is a product: the narrow way through."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from math import prod

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import constant, fixed_shape, only_consumer
from avatar_export.passes.linear import Linear, Numbers, linear_of, reshaped
from avatar_export.passes.site import Proposal, RefusedError, SitePass, Sketch

# Keep the row-major order of elements.
_VIEWS = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
_GEOMETRY = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")


class Reassociate(SitePass):
    """Apply a computed weight in two parts, the constant part first.

        E [O, R] -> Gemm(M [R, I], a) -> Reshape [O, I, 1, 1] -> W of Conv(x [B, I, H, W], W, b)
        becomes
        Conv(x, R filters M, and a) -> Conv(., E and a column of ones, b)

    (E M + 1 a) x = E (M x) + 1 (a x) = [E 1] [M; a] x: O * I multiply-adds a pixel become
    (R + 1) * (I + O). Where x is constant the first convolution is done now, which leaves
    (R + 1) * O and R + 1 constant maps instead of I. If a is 0 there is no column of ones.
    Kernels larger than 1x1, strides and padding belong to the first convolution.
    """

    name = "reassociate"

    def options(self, node: ir.Node) -> list[Proposal]:
        site = _site(node)
        if site is None:
            return []
        if site.product.transposed:
            raise RefusedError("the product that makes its weight reads its rows transposed")
        if node.attributes.get_int("group", 1) != 1:
            raise RefusedError("a convolution in groups")
        sketch = Sketch(node)
        weight, bias = site.product.weight, _row(site.product)
        basis = weight if bias is None else np.vstack([weight, bias])
        basis = basis.astype(site.product.raw_weight.dtype)
        maps = _maps(sketch, site, basis.reshape(len(basis), *site.kernel))
        mixing = _mixing(sketch, site, len(basis))
        shape = fixed_shape(node.outputs[0])
        assert shape is not None
        inputs = [maps, mixing, *node.inputs[2:]]
        out = sketch.put("Conv", inputs, shape, kernel_shape=[1] * (len(shape) - 2))
        what = f"its weight, a product of {len(basis)} rows, is applied in two parts"
        old = (node, *site.vanishing)
        return [Proposal(old, tuple(sketch.nodes), ((node.outputs[0], out),), what)]


@dataclass(frozen=True)
class _Site:
    """A convolution whose weight is a view of a matrix product."""

    node: ir.Node
    product: Linear
    kernel: tuple[int, ...]  # input channels, then the spatial axes
    vanishing: tuple[ir.Node, ...]  # nodes that nobody needs then


def _site(node: ir.Node) -> _Site | None:
    if node.op_type != "Conv" or node.domain or not fixed_shape(node.outputs[0]):
        return None
    value, filters = node.inputs[1], fixed_shape(node.inputs[1])
    views = []
    while value is not None and (view := value.producer()) is not None and _is_view(view):
        views.append(view)
        value = view.inputs[0]
    product = linear_of(value)
    if product is None or filters is None or fixed_shape(node.inputs[0]) is None:
        return None
    if constant(product.x) is not None:
        return None
    if prod(product.shape[:-1]) != filters[0]:  # a row of the product is not one filter
        return None
    vanishing = takewhile(_read_once, (*views, *reversed(product.nodes)))
    return _Site(node, product, filters[1:], tuple(vanishing))


def _is_view(node: ir.Node) -> bool:
    return node.op_type in _VIEWS and not node.domain


def _read_once(node: ir.Node) -> bool:
    return only_consumer(node.outputs[0]) is not None


def _row(product: Linear) -> Numbers | None:
    """The bias [1, N] that every row of the product gets; None if it is 0."""
    bias = product.bias
    if bias is None or not bias.any():
        return None
    if prod(bias.shape[:-1]) != 1:
        raise RefusedError("the product that makes its weight has a bias for each row")
    return np.broadcast_to(bias.reshape(1, -1), (1, product.shape[-1]))


def _maps(sketch: Sketch, site: _Site, basis: np.ndarray) -> ir.Value:
    """x through the constant filters [R, I, kernel]: [B, R, ...], constant if x is."""
    x, node = site.node.inputs[0], site.node
    numbers = constant(x)
    if numbers is not None and _is_pointwise(node, site.kernel):
        matrix = basis.reshape(basis.shape[:2]).astype(np.float64)
        maps = np.moveaxis(np.tensordot(matrix, numbers.astype(np.float64), (1, 1)), 0, 1)
        return sketch.weight("maps", maps.astype(numbers.dtype))
    batch, _, *spatial = fixed_shape(node.outputs[0]) or ()
    geometry = {k: node.attributes[k].value for k in _GEOMETRY if k in node.attributes}
    inputs = [x, sketch.weight("basis", basis)]
    return sketch.put("Conv", inputs, (batch, len(basis), *spatial), "_basis", **geometry)


def _is_pointwise(node: ir.Node, kernel: tuple[int, ...]) -> bool:
    attributes = node.attributes
    strides, pads = attributes.get_ints("strides", ()), attributes.get_ints("pads", ())
    return set(kernel[1:]) == {1} and set(strides or ()) <= {1} and not any(pads or ())


def _mixing(sketch: Sketch, site: _Site, width: int) -> ir.Value:
    """The rows that the product reads as filters [O, R, 1, 1], or [O, R + 1, 1, 1] with ones."""
    rows, kind = prod(site.product.shape[:-1]), site.product.raw_weight.dtype
    narrow = len(site.product.weight)
    value = site.product.x
    if width > narrow:
        value = reshaped(sketch, value, (rows, narrow), "_rows")
        ones = sketch.weight("ones", np.ones((rows, 1), kind))
        value = sketch.put("Concat", [value, ones], (rows, width), "_with_ones", axis=1)
    return reshaped(sketch, value, (rows, width, *[1] * len(site.kernel[1:])), "_filters")
