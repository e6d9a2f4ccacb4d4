"""Operators that compute each pixel of an image [N, C, H, W] from the same pixel of what they read.

They commute with whatever copies whole pixels: repetition, cropping, gathering. Facts from the
ONNX operator reference, sets 7 to 21.
"""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.base import fixed_shape

_ONE_NUMBER = {
    "Abs",
    "Ceil",
    "Celu",
    "Cos",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tanh",
    "ThresholdedRelu",
}
# Their operands are stretched to one shape; Clip's bounds and PRelu's slope are operands too.
_BROADCAST = {"Add", "Clip", "Div", "Max", "Mean", "Min", "Mul", "Pow", "PRelu", "Sub", "Sum"}


def pixel_slots(node: ir.Node) -> list[int] | None:
    """Slots of the inputs that have pixels; what the others hold is the same for every pixel.

    None if the node does not work on each pixel alone, or its result is no image of known size.
    """
    shape = fixed_shape(node.outputs[0])
    if node.domain or shape is None or len(shape) != 4 or _reads_more_than_it_shows(node):
        return None
    if node.op_type in _BROADCAST:
        return [k for k, v in enumerate(node.inputs) if v is not None and not is_flat(v)]
    if node.op_type == "Concat":
        over_channels = node.attributes.get_int("axis", 1) in (1, -3)
        return list(range(len(node.inputs))) if over_channels else None
    one_input = node.op_type in _ONE_NUMBER or _scales_channels(node)
    mixes = is_1x1(node) and keeps_grid(node)
    return [0] if one_input or mixes else None


def is_flat(value: ir.Value) -> bool:
    """Whether a value does not vary over H and W when it is stretched to [N, C, H, W]."""
    shape = fixed_shape(value)
    return shape is not None and all(size == 1 for size in shape[-2:])


def is_1x1(node: ir.Node) -> bool:
    """Whether a node is a convolution with a kernel of one pixel."""
    if node.op_type != "Conv" or node.domain:
        return False
    kernel = fixed_shape(node.inputs[1])
    return kernel is not None and len(kernel) == 4 and kernel[2:] == (1, 1)


def keeps_grid(conv: ir.Node) -> bool:
    """Whether a 1x1 convolution visits every pixel once and none of a border."""
    strides, pads = (conv.attributes.get_ints(name, []) for name in ("strides", "pads"))
    return all(stride == 1 for stride in strides) and not any(pads)


def _scales_channels(node: ir.Node) -> bool:
    """A batch norm that measures nothing; before set 9 it could hold a number for each pixel."""
    if node.op_type != "BatchNormalization":
        return False
    numbers = node.attributes
    return numbers.get_int("training_mode", 0) == 0 and numbers.get_int("spatial", 1) == 1


def _reads_more_than_it_shows(node: ir.Node) -> bool:
    return any(value.uses() or value.is_graph_output() for value in node.outputs[1:])
