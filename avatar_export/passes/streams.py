"""Streams: tensors that layers make through sums and resampling, and that other layers read."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import constant, fixed_shape, only_consumer
from avatar_export.passes.layers import Layer, Numbers
from avatar_export.passes.site import RefusedError, title

# Layers whose channels lie on axis 1, as those of a stream do.
_LAYERS = {"BatchNormalization", "Conv", "ConvTranspose", "Gemm"}
_SUMS = {"Add", "Sub"}
# A channel of one number stays one: they move, leave out, or mix with weights that sum to 1.
_RESAMPLING = {"Identity", "Resize", "Slice", "Upsample"}
_MOVING = {"DepthToSpace", "Reshape"}


def is_stream(value: ir.Value) -> bool:
    """Whether a layer, a sum, or a node that resamples or moves numbers makes ``value``."""
    node = value.producer()
    kinds = _LAYERS | _SUMS | _RESAMPLING | _MOVING
    return node is not None and not node.domain and node.op_type in kinds


def made(value: ir.Value, scale: Numbers, shift: Numbers) -> list[Layer]:
    """Layers that make ``scale * value + shift`` in place of ``value``.

    Of a sum every addend is scaled, and the first one shifted.

    Raises:
        RefusedError: what makes ``value`` is fed, has other readers, or does other things.
    """
    node = value.producer()
    if node is None or not is_stream(value):
        maker = f"is made by {node.op_type} {title(node)}" if node is not None else "is fed"
        raise RefusedError(f"{value.name} {maker}")
    if node.op_type in _SUMS:
        first, second = (_addend(node, addend) for addend in node.inputs)
        return [*made(first, scale, shift), *made(second, scale, np.zeros_like(shift))]
    if node.op_type in _LAYERS:
        layer = Layer.of(node)
        if layer is None or layer.outputs != len(scale):
            raise RefusedError(f"the numbers of {title(node)} are not constant")
        return [layer.then(scale, shift)]
    data = _own(node, node.inputs[0])
    return made(data, _before(node, scale), _before(node, shift))


def read(value: ir.Value, but: ir.Node, scale: Numbers, shift: Numbers) -> list[Layer]:
    """Readers of ``value``, as they must be where they are fed what becomes it by an affine map.

    They compute from x what they computed from ``scale * x + shift``.

    Args:
        but: the reader that does not count.

    Raises:
        RefusedError: a reader is no layer with constant numbers, or ``value`` is an output.
    """
    if value.is_graph_output():
        raise RefusedError(f"{value.name} is an output of the graph")
    found = []
    for use in value.uses():
        if use.node is not but:
            found += _fed(use.node, use.idx, value, scale, shift)
    return found


def _fed(node: ir.Node, slot: int, value: ir.Value, scale: Numbers, shift: Numbers) -> list[Layer]:
    maker = value.producer()
    if maker is None or node.graph is not maker.graph:
        raise RefusedError(f"a branch or loop reads {value.name}")
    if slot == 0 and _resamples(node):
        return read(node.outputs[0], node, scale, shift)
    layer = Layer.of(node) if node.op_type in _LAYERS and slot == 0 else None
    if layer is None or layer.inputs != len(scale):
        raise RefusedError(f"{node.op_type} {title(node)} reads {value.name} too")
    return [layer.fed(scale, shift)]


def _addend(node: ir.Node, addend: ir.Value | None) -> ir.Value:
    """An addend that is not widened along the channels, for ``node`` alone."""
    total = node.outputs[0].shape
    shape = addend.shape if addend is not None else None
    if total is None or shape is None or len(shape) != len(total) or shape[1] != total[1]:
        raise RefusedError(f"{title(node)} widens what it adds")
    return _own(node, addend)


def _own(node: ir.Node, value: ir.Value | None) -> ir.Value:
    assert value is not None
    if only_consumer(value) is not node:
        raise RefusedError(f"{value.name} has other readers than {title(node)}")
    return value


def _before(node: ir.Node, numbers: Numbers) -> Numbers:
    """Numbers of the channels of a result, as numbers of the channels that it is made from."""
    if _resamples(node):
        return numbers
    if node.op_type == "DepthToSpace":
        copies = node.attributes.get_int("blocksize", 1) ** 2
        columns = node.attributes.get_string("mode", "DCR") == "CRD"
        return np.repeat(numbers, copies) if columns else np.tile(numbers, copies)
    source, result = fixed_shape(node.inputs[0]), fixed_shape(node.outputs[0])
    if node.op_type != "Reshape" or not source or not result or not _splits(source, result):
        raise RefusedError(f"{node.op_type} {title(node)} does not keep channels apart")
    return np.repeat(numbers, source[1] // result[1])


def _splits(source: tuple[int, ...], result: tuple[int, ...]) -> bool:
    """Whether each channel of a Reshape's result holds whole channels of its source, in order."""
    if min(len(source), len(result)) < 2 or not prod(source):
        return False
    return source[0] == result[0] and source[1] % result[1] == 0


def _resamples(node: ir.Node) -> bool:
    """Whether each channel of the result is the same channel of the first input, resampled."""
    if node.op_type not in _RESAMPLING or node.domain:
        return False
    if node.op_type == "Identity":
        return True
    # It writes a number of its own outside the region of interest.
    crops = "tf_crop_and_resize"
    if node.attributes.get_string("coordinate_transformation_mode", "") == crops:
        return False
    if node.op_type == "Slice" and not _goes_forward(node):
        return False
    source = node.inputs[0].shape if node.inputs[0] is not None else None
    result = node.outputs[0].shape
    known = source is not None and result is not None and len(source) > 1 and len(result) > 1
    return known and [source[0], source[1]] == [result[0], result[1]]  # type: ignore[index]


def _goes_forward(node: ir.Node) -> bool:
    """Whether the steps of a Slice are known and positive: what it keeps whole is in order."""
    value = node.inputs[4] if len(node.inputs) > 4 else None
    steps = constant(value)
    return value is None or (steps is not None and bool((steps > 0).all()))
