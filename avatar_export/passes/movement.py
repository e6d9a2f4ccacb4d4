"""Where the elements of a tensor come from, through nodes that only move and repeat them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from avatar_export.passes.base import constant, fixed_shape
from avatar_export.precision.runner import run_onnx

Positions = NDArray[np.int32]

# Their results hold elements of the first input and nothing else, if the other inputs are constant.
_REPEATING = frozenset({"Expand", "Gather", "Resize", "Tile", "Upsample"})
_MOVING = _REPEATING | {
    "Flatten",
    "Identity",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
}
_IR_VERSION = 10  # of the models made here: the first that allows every operator set up to 21


def sources(value: ir.Value) -> Iterator[tuple[ir.Value, Positions]]:
    """Values that ``value`` is made from by moving and repeating alone, the nearest first.

    Yields:
        Each with the flat positions in it of the elements of ``value``, in the shape of ``value``.
    """
    positions = None
    while (step := _positions(value.producer())) is not None:
        positions = step if positions is None else step.ravel()[positions]
        made_from = value.producer().inputs[0]  # type: ignore[union-attr]
        assert made_from is not None
        value = made_from
        yield value, positions


def repeats(value: ir.Value) -> bool:
    """Whether a node that can repeat elements stands behind ``value``, with only moving between.

    A quick look, before :func:`sources` runs anything.
    """
    node = value.producer()
    while node is not None and _moves(node):
        if node.op_type in _REPEATING:
            return True
        node = node.inputs[0].producer() if node.inputs[0] is not None else None
    return False


def _positions(node: ir.Node | None) -> Positions | None:
    """Flat positions in the first input of the elements of a moving node's result.

    Found by running the node on the numbers 0, 1, 2, ...: so every attribute and operator set
    means what it means to ONNX Runtime.
    """
    if node is None or not _moves(node):
        return None
    shape = fixed_shape(node.inputs[0])
    if shape is None or fixed_shape(node.outputs[0]) is None:
        return None
    numbers = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    return next(iter(run_onnx(_alone(node, numbers), {"x": numbers}).values()))


def _moves(node: ir.Node) -> bool:
    if node.domain or node.op_type not in _MOVING or len(node.outputs) != 1 or not node.inputs:
        return False
    if any(value is not None and constant(value) is None for value in node.inputs[1:]):
        return False
    if node.op_type not in ("Resize", "Upsample"):
        return True
    # Cropping reads numbers from outside the tensor; the other modes mix neighbours.
    cropped = "tf_crop_and_resize"
    crops = node.attributes.get_string("coordinate_transformation_mode", "") == cropped
    return node.attributes.get_string("mode", "nearest") == "nearest" and not crops


def _alone(node: ir.Node, numbers: Positions) -> onnx.ModelProto:
    """A model of one node, its first input called x, all others initializers."""
    assert node.graph is not None
    proto = ir.to_proto(node)
    others = list(enumerate(node.inputs))[1:]
    weights = {f"w{k}": array for k, value in others if (array := constant(value)) is not None}
    proto.input[0] = "x"
    for k, value in others:
        proto.input[k] = "" if value is None else f"w{k}"
    graph = onnx.helper.make_graph(
        [proto],
        "alone",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.INT32, numbers.shape)],
        [onnx.helper.make_tensor_value_info(proto.output[0], onnx.TensorProto.INT32, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = onnx.helper.make_opsetid("", node.graph.opset_imports[""])
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
