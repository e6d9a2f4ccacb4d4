"""A model as a validator of operators wants it: nodes found again by number, no large weights."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avatar_export.errors import ModelError

if TYPE_CHECKING:
    import onnx

WEIGHTS = "weights.bin"
_BYTES_KEPT = 1 << 16
"""Of one tensor; axes, shapes, scales and biases stay, larger weights become zeros."""
_ALL_AT_MOST = 8 << 30
"""Bytes of all weights; ONNX Runtime takes memory even for zeros."""
_IR_VERSION = 10
"""At most: newer ones say nothing of operators, and ONNX Runtime reads them only years later."""
_NUMBERED = re.compile(r"node_(\d+)_of_graph")


def hand_over(model: onnx.ModelProto, path: Path) -> list[onnx.NodeProto]:
    """Write what an op validator looks at, and return the nodes that its numbers count.

    Local functions are inlined. Every node of the main graph gets its number for a name. Large and
    external weights are left behind: they point to one file of zeros beside ``path``, which takes
    no room on the disk.

    Raises:
        ModelError: above 2 GB even so, more than 8 GiB of weights, or functions that cannot be
            inlined.
    """
    from google.protobuf.message import EncodeError  # type: ignore[import-untyped]
    from onnx.inliner import inline_local_functions

    handed = _without_weights(model, path.with_name(WEIGHTS))
    try:
        if handed.functions:
            handed = inline_local_functions(handed)
        nodes = [type(node).FromString(node.SerializeToString()) for node in handed.graph.node]
        _number_nodes(handed.graph)
        path.write_bytes(handed.SerializeToString())
    except (EncodeError, ValueError, RuntimeError) as error:
        raise ModelError(f"the model cannot be handed over: {error}") from error
    return nodes


def numbers(text: str) -> list[int]:
    """The node numbers in a text, in their order."""
    return [int(number) for number in _NUMBERED.findall(text)]


def with_names(text: str, names: Sequence[str]) -> str:
    """The text with each number replaced by the name of the node."""
    return _NUMBERED.sub(lambda match: names[int(match[1])], text)


def _without_weights(model: onnx.ModelProto, weights: Path) -> onnx.ModelProto:
    import onnx

    graph = model.graph
    sizes = [_bytes(tensor) for tensor in graph.initializer]
    if sum(sizes) > _ALL_AT_MOST:
        raise ModelError(f"weights of {sum(sizes)} bytes are above the {_ALL_AT_MOST} handed over")
    with weights.open("wb") as file:
        file.truncate(max(sizes, default=0))
    tensors = [
        _zeros(tensor, weights.name, size) if _is_left(tensor, size) else tensor
        for tensor, size in zip(graph.initializer, sizes, strict=True)
    ]
    constants = {tensor.name for tensor in tensors}
    return onnx.ModelProto(
        ir_version=min(model.ir_version, _IR_VERSION),
        opset_import=model.opset_import,
        functions=model.functions,
        graph=onnx.GraphProto(
            name=graph.name,
            node=graph.node,
            # An initializer that is an input as well, as before IR version 4, is no constant to
            # ONNX Runtime.
            input=[info for info in graph.input if info.name not in constants],
            output=graph.output,
            value_info=graph.value_info,
            initializer=tensors,
            sparse_initializer=graph.sparse_initializer,
        ),
    )


def _bytes(tensor: onnx.TensorProto) -> int:
    """Size of a tensor's data; 0 for strings and unknown types, which cannot lie outside."""
    import onnx

    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except KeyError:
        return 0
    return 0 if dtype.hasobject else max(0, math.prod(tensor.dims)) * dtype.itemsize


def _is_left(tensor: onnx.TensorProto, size: int) -> bool:
    import onnx

    return size > _BYTES_KEPT or (size > 0 and tensor.data_location == onnx.TensorProto.EXTERNAL)


def _zeros(tensor: onnx.TensorProto, location: str, length: int) -> onnx.TensorProto:
    import onnx

    zeros = onnx.TensorProto(
        name=tensor.name,
        data_type=tensor.data_type,
        dims=tensor.dims,
        data_location=onnx.TensorProto.EXTERNAL,
    )
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        zeros.external_data.add(key=key, value=value)
    return zeros


def _number_nodes(graph: onnx.GraphProto) -> None:
    for index, node in enumerate(graph.node):
        node.name = f"node_{index}_of_graph"
