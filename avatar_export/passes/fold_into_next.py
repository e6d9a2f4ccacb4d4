"""Constant scales and shifts before a layer go into the layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from avatar_export.passes.affine import Affine, affine_of
from avatar_export.passes.base import constant, fixed_shape, only_consumer
from avatar_export.passes.layers import Layer, Numbers
from avatar_export.passes.site import Proposal, RefusedError, SitePass, Sketch, title

# Layers that take a scale and shift over.
_TAKERS = {"BatchNormalization", "Conv", "ConvTranspose", "Gemm", "MatMul"}
# Activations with f(a * x) = a * f(x) for a >= 0.
_HOMOGENEOUS = {"LeakyRelu", "PRelu", "Relu"}


class FoldIntoNext(SitePass):
    """Fold scales and shifts into the layer that reads them, and nobody else does.

        BatchNormalization(a, b) -> Conv(W, c)        becomes        Conv(W a, c + W b)
        Mul(a) -> LeakyRelu -> Conv(W, c)             becomes        LeakyRelu -> Conv(W a, c)
        Sub(m) -> Div(s) -> Conv(W, c, padded)        becomes        Add(-m) -> Conv(W / s, c)

    W (a x + b) + c is (W a) x + (W b + c), with a and b of one number an input channel: batch
    norms, sums, differences, products and quotients with constant numbers, any number of them. So
    the normalisation of a network's input can vanish.

    A layer that pads sees zeros beyond the border, where W b would be wrong: a shift stays then,
    as one Add of b / a, if that is a node less. An activation lets a scale pass that is not
    negative, and no shift. The product of a MatMul of two axes with a shift before it becomes a
    Gemm, which has a bias; of more axes it keeps the shift.
    """

    name = "fold-into-next"

    def options(self, node: ir.Node) -> list[Proposal]:
        if node.domain or node.op_type not in _TAKERS or node.inputs[0] is None:
            return []
        activation = _activation(node.inputs[0])
        value = node.inputs[0] if activation is None else activation.inputs[0]
        chain = _chain(value, _axis(node))
        if not chain:
            return []
        layer = Layer.of(node)
        if layer is None:
            raise RefusedError("its numbers are not constant")
        if activation is not None:
            return [_through(activation, layer, _scales(activation, chain))]
        return [_folded(layer, chain)]


def _axis(layer: ir.Node) -> int:
    """Axis of a layer's input that runs over the channels."""
    shape = layer.inputs[0].shape if layer.inputs[0] is not None else None
    return -1 if layer.op_type == "MatMul" and shape is not None and len(shape) != 2 else 1


def _activation(value: ir.Value) -> ir.Node | None:
    """The homogeneous activation that makes ``value`` for one reader."""
    node = value.producer()
    known = node is not None and not node.domain and node.op_type in _HOMOGENEOUS
    return node if known and only_consumer(value) is not None else None


def _chain(value: ir.Value | None, axis: int) -> list[Affine]:
    """Affine maps in a row that end in ``value``, the last one first, each with one reader."""
    found: list[Affine] = []
    while value is not None and only_consumer(value) is not None:
        affine = affine_of(value.producer(), axis)
        if affine is None:
            break
        found.append(affine)
        value = affine.data
    return found


def _scales(activation: ir.Node, chain: Sequence[Affine]) -> list[Affine]:
    """The end of the chain that a homogeneous activation lets pass.

    Raises:
        RefusedError: not even the last one does.
    """
    found: list[Affine] = []
    for affine in chain:
        if affine.shift.any() or (affine.scale < 0).any():
            break
        found.append(affine)
    if not found:
        raise RefusedError(f"{title(activation)} lets no shift and no negative scale pass")
    return found


def _composed(chain: Sequence[Affine]) -> tuple[Numbers, Numbers]:
    """Scale and shift of the whole chain."""
    scale, shift = np.ones_like(chain[-1].scale), np.zeros_like(chain[-1].shift)
    for affine in reversed(chain):
        scale, shift = affine.scale * scale, affine.scale * shift + affine.shift
    return scale, shift


def _folded(layer: Layer, chain: Sequence[Affine]) -> Proposal:
    scale, shift = _composed(chain)
    sketch, x = Sketch(layer.node), chain[-1].data
    try:
        result = _put(sketch, layer.fed(scale, shift), x)
    except RefusedError:
        if len(chain) < 2 or not scale.all():
            raise
        sketch = Sketch(layer.node)
        shifted = _shifted(sketch, x, shift / scale, layer)
        result = _put(sketch, layer.fed(scale, np.zeros_like(shift)), shifted)
    return _proposal(layer.node, [affine.node for affine in chain], sketch.nodes, result)


def _through(activation: ir.Node, layer: Layer, chain: Sequence[Affine]) -> Proposal:
    scale, shift = _composed(chain)
    above, sketch = Sketch(activation), Sketch(layer.node)
    inputs = [chain[-1].data, *activation.inputs[1:]]
    settings: dict[str, Any] = dict(activation.attributes)
    value = above.put(activation.op_type, inputs, _shape(activation.outputs[0]), **settings)
    result = _put(sketch, layer.fed(scale, shift), value)
    old = [activation, *(affine.node for affine in chain)]
    return _proposal(layer.node, old, [*above.nodes, *sketch.nodes], result)


def _proposal(
    node: ir.Node, before: Sequence[ir.Node], new: Sequence[ir.Node], result: ir.Value
) -> Proposal:
    gone = ", ".join(title(n) for n in before if n.op_type not in _HOMOGENEOUS)
    stands_for = ((node.outputs[0], result),)
    return Proposal((node, *before), tuple(new), stands_for, f"took over {gone}")


def _put(sketch: Sketch, layer: Layer, x: ir.Value) -> ir.Value:
    """The layer as a new node that reads ``x``."""
    node, (weight, bias) = layer.node, layer.stored()
    operator = node.op_type
    if operator == "MatMul" and bias is not None:
        if x.shape is None or len(x.shape) != 2:
            raise RefusedError("a MatMul of more than two axes has no bias to take the shift")
        operator = "Gemm"
    inputs = [x, sketch.weight("weight", weight)]
    inputs += [sketch.weight("bias", bias)] if bias is not None else []
    rest = [value for value in node.inputs[3:] if value is not None]
    settings: dict[str, Any] = dict(node.attributes)
    return sketch.put(operator, [*inputs, *rest], _shape(node.outputs[0]), **settings)


def _shifted(sketch: Sketch, x: ir.Value, shift: Numbers, layer: Layer) -> ir.Value:
    """``x`` plus one number a channel."""
    shape = _shape(x)
    aligned = [1] * len(shape)
    aligned[_axis(layer.node)] = len(shift)
    weight = constant(layer.node.inputs[1])
    assert weight is not None
    numbers = shift.reshape(aligned).astype(weight.dtype)
    return sketch.put("Add", [x, sketch.weight("shift", numbers)], shape, "_shift")


def _shape(value: ir.Value) -> tuple[int, ...]:
    shape = fixed_shape(value)
    if shape is None:
        raise RefusedError("its shapes are not fixed")
    return shape
