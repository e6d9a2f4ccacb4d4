"""Linear layers with constant numbers, and what a scale and shift of channels makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from avatar_export.passes.base import add_initializer, constant
from avatar_export.passes.site import RefusedError, title

Numbers = NDArray[np.float64]

# How each operator's weight becomes [groups, outputs of a group, inputs of a group, taps], as a
# view, and back.
_Shaper = Callable[[np.ndarray, ir.Node], np.ndarray]
_TO_BLOCKS: dict[str, _Shaper] = {
    "BatchNormalization": lambda w, _: w.reshape(-1, 1, 1, 1),
    "Conv": lambda w, node: w.reshape(_groups(node), w.shape[0] // _groups(node), w.shape[1], -1),
    "ConvTranspose": lambda w, node: w.reshape(
        _groups(node), w.shape[0] // _groups(node), w.shape[1], -1
    ).swapaxes(1, 2),
    "Gemm": lambda w, node: (w if _is_transposed(node) else w.T)[None, :, :, None],
    "MatMul": lambda w, _: w.T[None, :, :, None],
}
_FROM_BLOCKS: dict[str, _Shaper] = {
    "BatchNormalization": lambda b, _: b,
    "Conv": lambda b, _: b,
    "ConvTranspose": lambda b, _: b.swapaxes(1, 2),
    "Gemm": lambda b, node: b[0, :, :, 0] if _is_transposed(node) else b[0, :, :, 0].T,
    "MatMul": lambda b, _: b[0, :, :, 0].T,
}


@dataclass(frozen=True)
class Layer:
    """A node y = W x + b whose numbers are constant.

    Attributes:
        node: Conv, ConvTranspose, BatchNormalization, Gemm, or MatMul by a matrix on the right.
        blocks: W as [groups, outputs of a group, inputs of a group, taps of the kernel].
        bias: b, one number an output channel.
    """

    node: ir.Node
    blocks: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, node: ir.Node | None) -> Layer | None:
        """The layer that ``node`` is, if it is one."""
        if node is None or node.domain or node.op_type not in _TO_BLOCKS:
            return None
        numbers = [constant(value) for value in node.inputs[1:] if value is not None]
        if not numbers or any(array is None for array in numbers) or not _is_plain(node):
            return None
        weight = numbers[0]
        assert weight is not None
        blocks = _TO_BLOCKS[node.op_type](weight, node)
        bias = _bias(node, blocks.shape[0] * blocks.shape[1])
        return None if bias is None else cls(node, blocks, bias)

    @property
    def outputs(self) -> int:
        """Channels of y."""
        return int(self.blocks.shape[0] * self.blocks.shape[1])

    @property
    def inputs(self) -> int:
        """Channels of x."""
        return int(self.blocks.shape[0] * self.blocks.shape[2])

    def then(self, scale: Numbers, shift: Numbers) -> Layer:
        """The layer that computes ``scale * y + shift``: W becomes scale * W, b likewise."""
        factors = scale.reshape(*self.blocks.shape[:2], 1, 1)
        return replace(self, blocks=self.blocks * factors, bias=self.bias * scale + shift)

    def fed(self, scale: Numbers, shift: Numbers) -> Layer:
        """The layer that computes from x what this one computes from ``scale * x + shift``.

        W becomes W * scale along the input channels, b becomes b + the sum of W * shift.

        Raises:
            RefusedError: some results are made of zeros beyond the border, which would have to be
                ``-shift / scale``; or a batch norm has statistics left.
        """
        if self.node.op_type == "BatchNormalization" and not is_reduced(self.node):
            raise RefusedError(f"{title(self.node)} is no mere scale and shift yet")
        if shift.any() and _reads_zeros(self.node):
            raise RefusedError(f"the border of {title(self.node)} would see the shift")
        aligned = (self.blocks.shape[0], 1, self.blocks.shape[2], 1)
        moved = (self.blocks * shift.reshape(aligned)).sum((2, 3)).reshape(-1)
        return replace(self, blocks=self.blocks * scale.reshape(aligned), bias=self.bias + moved)

    def stored(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Weight and bias as the node keeps them: its layout, its type; no bias of zeros.

        Raises:
            RefusedError: the type of the weight cannot hold a number.
        """
        weight = constant(self.node.inputs[1])
        assert weight is not None
        shaped = _FROM_BLOCKS[self.node.op_type](self.blocks, self.node).reshape(weight.shape)
        needed = _bias_value(self.node) is not None or bool(np.any(self.bias))
        with np.errstate(over="ignore"):
            numbers = shaped.astype(weight.dtype)
            bias = self.bias.astype(weight.dtype) if needed else None
        if not (np.isfinite(numbers).all() and (bias is None or np.isfinite(bias).all())):
            raise RefusedError(f"{weight.dtype} cannot hold the numbers of {title(self.node)}")
        return numbers, bias


def write(model: ir.Model, layer: Layer) -> None:
    """Give the node its new numbers, as new initializers: others may read the old ones.

    Raises:
        RefusedError: see :meth:`Layer.stored`.
    """
    node, (weight, bias) = layer.node, layer.stored()
    node.resize_inputs(max(3 if bias is not None else 2, len(node.inputs)))
    for slot, suffix, numbers in ((1, "weight", weight), (2, "bias", bias)):
        if numbers is not None:
            value = add_initializer(model, f"{node.name or node.op_type}.{suffix}", numbers)
            node.replace_input_with(slot, value)


def is_reduced(norm: ir.Node) -> bool:
    """Whether a batch norm is mere scale and shift: mean 0, variance 1, epsilon 0."""
    mean, variance = constant(norm.inputs[3]), constant(norm.inputs[4])
    if mean is None or variance is None or mean.any() or (variance != 1).any():
        return False
    return norm.attributes.get_float("epsilon", 1e-5) == 0.0


def _groups(node: ir.Node) -> int:
    return int(node.attributes.get_int("group", 1))


def _is_transposed(gemm: ir.Node) -> bool:
    return bool(gemm.attributes.get_int("transB", 0))


def _is_plain(node: ir.Node) -> bool:
    """Whether the attributes and shapes are those of y = W x + b."""
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return False
    attributes = node.attributes
    if node.op_type == "Gemm":
        factors = attributes.get_float("alpha", 1.0), attributes.get_float("beta", 1.0)
        return factors == (1.0, 1.0) and not attributes.get_int("transA", 0)
    weight = constant(node.inputs[1])
    assert weight is not None
    if node.op_type == "BatchNormalization":
        return weight.ndim == 1 and not attributes.get_int("training_mode", 0)
    return weight.ndim == 2 if node.op_type == "MatMul" else weight.ndim > 2


def _bias_value(node: ir.Node) -> ir.Value | None:
    return node.inputs[2] if len(node.inputs) > 2 else None


def _bias(node: ir.Node, channels: int) -> np.ndarray | None:
    """The bias, one number an output channel; None if a Gemm adds other numbers to each row."""
    numbers = constant(_bias_value(node))
    if numbers is None:
        return np.zeros(channels)
    if numbers.size == 1:
        return np.full(channels, numbers.reshape(()))
    return numbers.reshape(-1) if numbers.shape[-1] == numbers.size == channels else None


def _reads_zeros(node: ir.Node) -> bool:
    """Whether some results are made of fewer numbers of x than others."""
    if node.op_type not in ("Conv", "ConvTranspose"):
        return False
    if node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return True
    if any(node.attributes.get_ints("pads", [])):
        return True
    # Of a transposed convolution each result is made of those taps that meet a number of x.
    return node.op_type == "ConvTranspose" and not _is_pointwise(node)


def _is_pointwise(node: ir.Node) -> bool:
    weight = constant(node.inputs[1])
    assert weight is not None
    moves = [*node.attributes.get_ints("strides", []), *weight.shape[2:]]
    return set(moves) == {1} and not any(node.attributes.get_ints("output_padding", []))
