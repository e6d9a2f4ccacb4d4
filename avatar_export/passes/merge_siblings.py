"""Layers that read one tensor in the same way become one layer, cut up afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import fixed_shape
from avatar_export.passes.hoist_activation import kind, settings
from avatar_export.passes.siblings import Sibling, outputs_last, siblings_of
from avatar_export.passes.site import Proposal, RefusedError, SitePass, Sketch


class MergeSiblings(SitePass):
    """Stack the output channels of convolutions, or matrix products, that read one tensor.

        f(Conv(W, b)(x)), g(Conv(V, c)(x))
        becomes one of
        p, q = Split(Conv([W; V], [b; c])(x));  f(p), g(q)
        Split(f(Conv([W; V], [b; c])(x)))                            where f = g
        p, q = Split(Tanh(Conv([W; V/2], [b; c/2])(x)));  p, q/2 + 1/2
                                                                     where f = Tanh, g = Sigmoid

    An output channel is a function of x alone, so it does not matter which others are computed
    with it. x is read once, and runtimes round channels up, to 4 on Adreno and to 16 in ONNX
    Runtime with AVX-512: heads of 2, 3, and 1 channels become one of 8 or 16 instead of three of
    4 or 16. But a split is one more kernel, and an activation that a runtime merges into its
    convolution is none until it stands behind a split: the price decides.

    The last form is sigmoid(x) = tanh(x / 2) / 2 + 1 / 2. Tanh is never made of a sigmoid: near 0
    that subtracts numbers of equal size, of which half precision keeps little.

    A missing bias is zero. Activations are looked at if nothing else reads what they read.
    """

    name = "merge-siblings"

    def options(self, node: ir.Node) -> list[Proposal]:
        siblings = siblings_of(node)
        if len(siblings) < 2 or node is not siblings[-1]:
            return []
        if node.attributes.get_int("group", 1) != 1:
            raise RefusedError("convolutions in groups are not merged")
        layers = [Sibling.of(sibling) for sibling in siblings]
        forms = [_split_first(layers)]
        functions = {_function(layer) for layer in layers}
        if len(functions) == 1 and functions != {None}:
            forms.append(_activation_first(layers))
        if {layer.activates for layer in layers} == {"Tanh", "Sigmoid"}:
            forms += [_tanh_first(layers, half) for half in _halves(layers)]
        return forms


def _function(layer: Sibling) -> object:
    return None if layer.activation is None else kind(layer.activation)


def _split_first(layers: Sequence[Sibling]) -> Proposal:
    sketch = Sketch(layers[-1].node)
    parts = _split(sketch, _merged(sketch, layers), layers)
    results = [
        part if layer.activation is None else _activated(sketch, layer.activation, part)
        for layer, part in zip(layers, parts, strict=True)
    ]
    return _proposal(layers, sketch, results, "then split")


def _activation_first(layers: Sequence[Sibling]) -> Proposal:
    sketch = Sketch(layers[-1].node)
    active = _activated(sketch, layers[-1].end, _merged(sketch, layers))
    what = f"one {layers[-1].activates}, then split"
    return _proposal(layers, sketch, _split(sketch, active, layers), what)


_Half = Callable[[Sketch, ir.Value, np.dtype], ir.Value]


def _tanh_first(layers: Sequence[Sibling], half: _Half) -> Proposal:
    sketch = Sketch(layers[-1].node)
    whole = _merged(sketch, [x.halved() if x.activates == "Sigmoid" else x for x in layers])
    tanh = next(layer.end for layer in layers if layer.activates == "Tanh")
    parts = _split(sketch, _activated(sketch, tanh, whole), layers)
    results = [
        half(Sketch(layer.end, sketch.nodes), part, layer.weight.dtype)
        if layer.activates == "Sigmoid"
        else part
        for layer, part in zip(layers, parts, strict=True)
    ]
    return _proposal(layers, sketch, results, "one Tanh for the Sigmoid too, then split")


def _halves(layers: Sequence[Sibling]) -> list[_Half]:
    """Ways to write y / 2 + 1 / 2; a batch norm is one kernel, but its channels are axis 1."""
    return [_norm, _scale_and_shift] if layers[0].axis == 1 else [_scale_and_shift]


def _norm(sketch: Sketch, value: ir.Value, dtype: np.dtype) -> ir.Value:
    shape = fixed_shape(value)
    assert shape is not None
    numbers = {"scale": 0.5, "shift": 0.5, "zero": 0.0, "one": 1.0}
    weights = [sketch.weight(k, np.full(shape[1], n, dtype)) for k, n in numbers.items()]
    return sketch.put("BatchNormalization", [value, *weights], shape, epsilon=0.0)


def _scale_and_shift(sketch: Sketch, value: ir.Value, dtype: np.dtype) -> ir.Value:
    shape = fixed_shape(value)
    assert shape is not None
    half = np.full([1] * len(shape), 0.5, dtype)
    scaled = sketch.put("Mul", [value, sketch.weight("scale", half)], shape, ".scale")
    return sketch.put("Add", [scaled, sketch.weight("shift", half)], shape)


def _merged(sketch: Sketch, layers: Sequence[Sibling]) -> ir.Value:
    last = layers[-1].node
    weight = np.concatenate([layer.weight for layer in layers])
    if outputs_last(last):
        weight = weight.T
    inputs = [last.inputs[0], sketch.weight("weight", weight)]
    if any(layer.bias is not None for layer in layers):
        zero = np.zeros(1, weight.dtype)
        biases = [zero.repeat(len(x.weight)) if x.bias is None else x.bias for x in layers]
        inputs.append(sketch.weight("bias", np.concatenate(biases)))
    shape = list(layers[-1].shape)
    shape[layers[-1].axis] = sum(len(layer.weight) for layer in layers)
    return sketch.put(last.op_type, inputs, shape, **settings(last))


def _split(sketch: Sketch, whole: ir.Value, layers: Sequence[Sibling]) -> Sequence[ir.Value]:
    axis, graph = layers[-1].axis, layers[-1].node.graph
    sizes = [len(layer.weight) for layer in layers]
    shapes = [layer.shape for layer in layers]
    assert graph is not None
    if graph.opset_imports[""] < 13:
        return sketch.split("Split", [whole], shapes, ".split", axis=axis, split=sizes)
    points = sketch.weight("sizes", np.array(sizes, np.int64))
    return sketch.split("Split", [whole, points], shapes, ".split", axis=axis)


def _activated(sketch: Sketch, activation: ir.Node, value: ir.Value) -> ir.Value:
    shape = fixed_shape(value)
    assert shape is not None
    own = Sketch(activation, sketch.nodes)
    return own.put(activation.op_type, [value], shape, **settings(activation))


def _proposal(
    layers: Sequence[Sibling], sketch: Sketch, results: Sequence[ir.Value], what: str
) -> Proposal:
    ends = [layer.activation for layer in layers if layer.activation is not None]
    return Proposal(
        old=(*(layer.node for layer in layers), *ends),
        new=tuple(sketch.nodes),
        stands_for=tuple((x.end.outputs[0], y) for x, y in zip(layers, results, strict=True)),
        what=f"one of {len(layers)} layers that are merged, {what}",
    )
