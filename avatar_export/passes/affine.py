"""Scales and shifts of channels by constant numbers, and layers that take them over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import constant, only_consumer
from avatar_export.passes.layers import Layer, Numbers, write

# Layers that take over what follows them.
_TAKERS = {"BatchNormalization", "Conv", "ConvTranspose"}


@dataclass(frozen=True)
class Affine:
    """A node that computes ``scale * data + shift``, one number a channel each."""

    node: ir.Node
    data: ir.Value
    scale: Numbers
    shift: Numbers


def affine_of(node: ir.Node | None, axis: int = 1) -> Affine | None:
    """A batch norm, sum, difference, product or quotient with constant numbers, as what it is.

    Args:
        axis: of the data that runs over its channels; a batch norm's is 1.
    """
    if node is None or node.domain:
        return None
    if node.op_type == "BatchNormalization":
        return _norm(node) if axis == 1 else None
    if node.op_type not in ("Add", "Div", "Mul", "Sub"):
        return None
    left, right = node.inputs
    found = _arithmetic(node, left, right, axis)
    if found is None and node.op_type != "Div":
        found = _arithmetic(node, right, left, axis)
        if found is not None and node.op_type == "Sub":  # c - x is -(x - c)
            return Affine(node, found.data, -found.scale, -found.shift)
    return found


def out_channels(layer: ir.Node | None) -> int | None:
    """Channels of a layer that can take over what follows it; None when it cannot.

    It can if its numbers are constant and only one node reads its result.
    """
    if layer is None or layer.op_type not in _TAKERS or only_consumer(layer.outputs[0]) is None:
        return None
    found = Layer.of(layer)
    return None if found is None else found.outputs


def absorb(model: ir.Model, layer: ir.Node, scale: np.ndarray, shift: np.ndarray) -> None:
    """Make ``layer`` compute ``scale * y + shift`` instead of y, one float64 number a channel.

    For a batch norm its scale and bias change, its statistics stay. Computed in double precision.
    """
    found = Layer.of(layer)
    assert found is not None
    write(model, found.then(scale, shift))


def per_channel(
    numbers: np.ndarray, channels: int, data: ir.Value | None, axis: int = 1
) -> Numbers | None:
    """One number a channel, if the constant varies along ``axis`` of ``data`` only."""
    if numbers.ndim == 0:
        return np.full(channels, numbers, np.float64)
    if data is None or data.shape is None or numbers.ndim > len(data.shape):
        return None
    if numbers.size == 1:
        return np.full(channels, numbers.reshape(()), np.float64)
    shape = [1] * len(data.shape)
    shape[axis] = channels
    aligned = (1,) * (len(shape) - numbers.ndim) + numbers.shape
    return numbers.reshape(-1).astype(np.float64) if aligned == tuple(shape) else None


def _norm(norm: ir.Node) -> Affine | None:
    """Scale g / sqrt(var + eps), shift h - scale * mean, of an inference batch norm."""
    found, data = Layer.of(norm), norm.inputs[0]
    if found is None or data is None:
        return None
    gain, bias, mean, variance = (
        np.asarray(constant(value), np.float64) for value in norm.inputs[1:5]
    )
    scale = gain / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
    return Affine(norm, data, scale, bias - scale * mean)


def _arithmetic(
    node: ir.Node, data: ir.Value | None, other: ir.Value | None, axis: int
) -> Affine | None:
    """``data`` op ``other``, if the latter is constant."""
    numbers = constant(other)
    if numbers is None or numbers.dtype.kind != "f" or data is None or constant(data) is not None:
        return None
    if data.shape is None or not -len(data.shape) <= axis < len(data.shape):
        return None
    channels = data.shape[axis]
    if not isinstance(channels, int):
        return None
    values = per_channel(numbers, channels, data, axis)
    if values is None or (node.op_type == "Div" and not values.all()):
        return None
    if node.op_type in ("Mul", "Div"):
        scale = values if node.op_type == "Mul" else 1 / values
        return Affine(node, data, scale, np.zeros(channels))
    shift = values if node.op_type == "Add" else -values
    return Affine(node, data, np.ones(channels), shift)
