"""Folding a per-channel scale and shift into the layer that makes the tensor."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import add_initializer, constant, only_consumer

# Axis of a layer's weight that runs over its output channels.
_OUT_AXIS = {"Conv": 0, "ConvTranspose": 1, "BatchNormalization": 0}


def out_channels(layer: ir.Node | None) -> int | None:
    """Channels of a layer that can take over what follows it; None when it cannot.

    It can if its numbers are constant and only one node reads its result. A grouped transposed
    convolution cannot: its weight has the output channels of one group only.
    """
    if layer is None or layer.op_type not in _OUT_AXIS:
        return None
    used = [value for value in layer.outputs if value.uses() or value.is_graph_output()]
    if used != [layer.outputs[0]] or only_consumer(layer.outputs[0]) is None:
        return None
    if layer.op_type == "ConvTranspose" and layer.attributes.get_int("group", 1) != 1:
        return None
    numbers = [constant(value) for value in layer.inputs[1:] if value is not None]
    if not numbers or any(array is None for array in numbers):
        return None
    return int(numbers[0].shape[_OUT_AXIS[layer.op_type]])  # type: ignore[union-attr]


def is_reduced(norm: ir.Node) -> bool:
    """Whether a batch norm is mere scale and shift: mean 0, variance 1, epsilon 0."""
    mean, variance = constant(norm.inputs[3]), constant(norm.inputs[4])
    if mean is None or variance is None or mean.any() or (variance != 1).any():
        return False
    return norm.attributes.get_float("epsilon", 1e-5) == 0.0


def absorb(model: ir.Model, layer: ir.Node, scale: np.ndarray, shift: np.ndarray) -> None:
    """Make ``layer`` compute ``scale * y + shift`` instead of y, one float64 number a channel.

    W becomes scale * W and b becomes scale * b + shift: for a convolution its weight and bias,
    for a batch norm its scale and bias. Computed in double precision.
    """
    weight = constant(layer.inputs[1])
    bias = constant(layer.inputs[2]) if len(layer.inputs) > 2 else None
    assert weight is not None
    shape = [1] * weight.ndim
    shape[_OUT_AXIS[layer.op_type]] = -1
    new_weight = weight.astype(np.float64) * scale.reshape(shape)
    new_bias = shift if bias is None else scale * bias + shift
    layer.resize_inputs(max(3, len(layer.inputs)))
    for slot, suffix, numbers in ((1, "weight", new_weight), (2, "bias", new_bias)):
        name = f"{layer.name or layer.op_type}.{suffix}"
        value = add_initializer(model, name, numbers.astype(weight.dtype))
        layer.replace_input_with(slot, value)
