"""Fold what hangs on no input, as every converter does before it looks at an operator."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_ELEMENTS_AT_MOST = 1 << 24
"""Of one computed constant; what makes a larger one stays a node."""
_STAY = frozenset(("QuantizeLinear", "DequantizeLinear", "Bernoulli", "Multinomial"))
"""Part of a quantised pattern, or not the same every time; so is all that is called Random."""

Shapes = dict[str, tuple[int, ...]]


def fold_constants(model: onnx.ModelProto, folder: Path) -> list[int]:
    """Replace, in place, nodes that compute constants by these; returns the nodes' indices.

    A Shape of a fixed shape is one of them. ONNX Runtime computes on the CPU; where it cannot,
    the model stays as it is and a line goes to stderr.

    Args:
        model: with inferred shapes.
        folder: where its external data lies.
    """
    shapes = _fixed_shapes(model)
    indices = _constant_nodes(model, shapes)
    nodes = list(model.graph.node)
    folded = [nodes[index] for index in indices]
    gone = set(indices)
    rest = [node for index, node in enumerate(nodes) if index not in gone]
    read = {name for node in rest for name in _names_read(node)}
    read.update(info.name for info in model.graph.output)
    wanted = [name for node in folded for name in node.output if name in read]
    try:
        tensors = _compute(model, folded, shapes, wanted, folder)
    except Exception as error:  # The errors of ONNX Runtime have no root of their own.
        print(f"constants are not folded: {error}", file=sys.stderr)
        return []
    model.graph.initializer.extend(tensors)
    for index in reversed(indices):
        del model.graph.node[index]
    return indices


def _constant_nodes(model: onnx.ModelProto, shapes: Shapes) -> list[int]:
    constants = {tensor.name for tensor in model.graph.initializer}
    found = []
    for index, node in enumerate(model.graph.node):
        of_constants = all(name in constants for name in node.input if name)
        if (of_constants or _is_fixed_shape(node, shapes)) and _may_fold(node, shapes):
            constants.update(node.output)
            found.append(index)
    return found


def _is_fixed_shape(node: onnx.NodeProto, shapes: Shapes) -> bool:
    return node.op_type == "Shape" and node.input[0] in shapes


def _may_fold(node: onnx.NodeProto, shapes: Shapes) -> bool:
    if node.op_type in _STAY or node.op_type.startswith("Random"):
        return False
    if any(attribute.HasField("g") for attribute in node.attribute):
        return False
    return all(_elements(shapes.get(name)) <= _ELEMENTS_AT_MOST for name in node.output if name)


def _elements(shape: tuple[int, ...] | None) -> float:
    import math

    return math.inf if shape is None else math.prod(shape)


def _fixed_shapes(model: onnx.ModelProto) -> Shapes:
    graph = model.graph
    shapes: Shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for info in (*graph.input, *graph.value_info, *graph.output):
        tensor = info.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shapes[info.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    return shapes


def _names_read(node: onnx.NodeProto) -> set[str]:
    """Names a node reads, those that its subgraphs take from outside included."""
    names = set(node.input)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            names |= _names_read(inner)
        names.update(info.name for info in attribute.g.output)
    return names


def _compute(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    shapes: Shapes,
    wanted: list[str],
    folder: Path,
) -> list[onnx.TensorProto]:
    """The tensors ``wanted``, of those that ``nodes`` compute."""
    import onnx
    import onnxruntime
    from onnx import numpy_helper

    if not wanted:
        return []
    part = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    part.graph.name = "constants"
    part.graph.initializer.extend(model.graph.initializer)
    for node in nodes:
        if _is_fixed_shape(node, shapes):
            part.graph.initializer.append(_shape_value(node, shapes))
        else:
            part.graph.node.append(node)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    path = folder / "constants.onnx"
    path.write_bytes(part.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    values = session.run(wanted, {})
    return [numpy_helper.from_array(v, name) for v, name in zip(values, wanted, strict=True)]


def _shape_value(node: onnx.NodeProto, shapes: Shapes) -> onnx.TensorProto:
    import numpy as np
    from onnx import numpy_helper

    ends = {attribute.name: attribute.i for attribute in node.attribute}
    dims = shapes[node.input[0]][ends.get("start") : ends.get("end")]
    return numpy_helper.from_array(np.array(dims, np.int64), node.output[0])
