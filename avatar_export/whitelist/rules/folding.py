"""Named rules about constants that the converter folds into the layer before them.

A constant with one value a channel vanishes into the filters and bias of a convolution, or into
the scale and shift of a norm. The converter asks for little: that nothing else reads the layer,
and that the constant, its dimensions of 1 left out, has rank 1 and as many values as the layer has
channels, or one. It folds factors first, then divisors, summands and what is subtracted. (ONNX
converter source, QAIRT 2.25.0.240728.)
"""

from __future__ import annotations

from avatar_export.whitelist.rules.predicates import predicate
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView, Shape, UndeterminedError

_TURNS = {"Mul": 0, "Div": 1, "Add": 2, "Sub": 3}
_IMAGES_ONLY = ("Conv", "ConvTranspose")


def _constant_operand(node: NodeView) -> int | None:
    """Index of the only constant of two operands."""
    if node.operands() != [0, 1] or node.is_constant(0) == node.is_constant(1):
        return None
    return 0 if node.is_constant(0) else 1


def _layer_before(node: NodeView, folding: tuple[str, ...]) -> NodeView | None:
    """The layer that a constant operand is folded into, when it has the right size."""
    constant = _constant_operand(node)
    if constant is None:
        return None
    name = node.inputs[1 - constant]
    layer = node.model.producers.get(name)
    if layer is None or len(node.model.consumers[name]) != 1 or name in node.model.outputs:
        return None
    if layer.operator in folding:
        images = layer.operator not in _IMAGES_ONLY or layer.rank() == 4
        return layer if images else None
    earlier = _TURNS.get(layer.operator, len(_TURNS)) < _TURNS.get(node.operator, 0)
    return _layer_before(layer, folding) if earlier else None


def is_uniform(node: NodeView, index: int) -> bool:
    """Whether the input is a constant of which all elements are equal."""
    if not node.is_constant(index):
        return False
    try:
        value = node.model.value(node.inputs[index])
    except UndeterminedError:
        return False
    return bool((value == value.ravel()[:1]).all())


def _squeezed(shape: Shape) -> Shape:
    return tuple(dim for dim in shape if dim != 1)


@predicate
def not_taken_for_channels(node: NodeView, target: Target, *folding: str) -> str:
    """No constant vector along the last axis is folded into a layer before it.

    ``folding`` are the operators into which the converter folds.
    """
    layer, index = _layer_before(node, folding), _constant_operand(node)
    if layer is None or index is None or node.rank(index) != 1 or is_uniform(node, index):
        return ""
    size, shape = node.shape(index)[0], layer.output_shape()
    if len(shape) < 3 or shape[1] != size or shape[-1] != size:
        return ""
    return f"the vector [{size}] is taken for one value a channel, as width and C are {size}"


@predicate
def bias_stays_flat(node: NodeView, target: Target, *folding: str) -> str:
    """No constant is folded into a bias that becomes a matrix by it.

    A constant of rank 2 or more is added to the bias as it stands, channel-last at rank 4 and 5,
    so that only [1, C, 1, 1] and a single value leave a vector.
    """
    layer, index = _layer_before(node, folding), _constant_operand(node)
    if layer is None or index is None:
        return ""
    shape, (_, channels, *size) = node.shape(index), layer.output_shape()
    flat = len(shape) < 2 or shape == (1, channels, *(1 for _ in size))
    if flat or _squeezed(shape) != (channels,):
        return ""
    return f"the constant {list(shape)} is folded into the bias of {layer.operator} before it"


@predicate
def constant_comes_second(node: NodeView, target: Target, *folding: str) -> str:
    """No constant is folded from which the layer is subtracted, or which it divides."""
    layer, index = _layer_before(node, folding), _constant_operand(node)
    if layer is None or index != 0:
        return ""
    squeezed = _squeezed(node.shape(0))
    if squeezed and squeezed != (layer.output_shape()[1],):
        return ""
    sign = "-" if node.operator == "Sub" else "/"
    return f"c {sign} {layer.operator}(x) is written as {layer.operator}(x) {sign} c"
