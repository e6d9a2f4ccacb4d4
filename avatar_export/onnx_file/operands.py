"""Arguments that the C++ shape inference of ONNX takes at their word, and crashes on.

Each kind was found by benchmarks/fuzz_check.py with onnx 1.23; what onnx itself refuses with an
exception is left to the judge.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from avatar_export.errors import ModelError
from avatar_export.onnx_file.functions import nodes_within
from avatar_export.onnx_file.quoting import quoted
from avatar_export.onnx_file.soundness import DEFAULT_DOMAINS, LARGEST_RANK

if TYPE_CHECKING:
    import onnx

_SPARED = frozenset({("Resize", 1)})
"""Inputs that the specification demands and exporters leave out: the region of a Resize of set 11,
which only one of its modes reads."""
_AXES = {"axis": -LARGEST_RANK, "batch_dims": 0}
"""Attributes that count axes, and the least that they can be."""


def require_operands(model: onnx.ModelProto) -> None:
    """Check the nodes of the graph, its subgraphs and the functions.

    Raises:
        ModelError: an operand that the operator needs is left out, an axis is beyond any tensor,
            a Split says another number of outputs than it has, or a node outside a function takes
            an attribute from one.
    """
    for node, _ in nodes_within(model.graph.node):
        _require(node, _reference(node))
    _require_nodes(model.graph.node, model.opset_import)
    for function in model.functions:
        _require_nodes(function.node, function.opset_import)


def _require_nodes(
    nodes: Iterable[onnx.NodeProto], imports: Iterable[onnx.OperatorSetIdProto]
) -> None:
    opset = max((e.version for e in imports if e.domain in DEFAULT_DOMAINS), default=1)
    for node, _ in nodes_within(nodes):
        if node.domain in DEFAULT_DOMAINS:
            _require(node, _left_out(node, opset) or _far_axis(node) or _other_outputs(node))


def _require(node: onnx.NodeProto, fault: str) -> None:
    if fault:
        raise ModelError(f"node {quoted(node.name)} ({quoted(node.op_type)}) {fault}")


def _left_out(node: onnx.NodeProto, opset: int) -> str:
    if all(node.input):
        return ""
    needed = _needed(node.op_type, opset)
    index = next((i for i, name in enumerate(node.input) if not name and i in needed), None)
    return "" if index is None else f"leaves out its input {index}"


@cache
def _needed(operator: str, opset: int) -> frozenset[int]:
    """Indices of the inputs that the operator cannot do without; none of an unknown operator."""
    import onnx

    try:
        schema = onnx.defs.get_schema(operator, opset, "")
    except onnx.defs.SchemaError:
        return frozenset()
    single = onnx.defs.OpSchema.FormalParameterOption.Single
    needed = {i for i, formal in enumerate(schema.inputs) if formal.option == single}
    return frozenset(i for i in needed if (operator, i) not in _SPARED)


def _far_axis(node: onnx.NodeProto) -> str:
    for attribute in node.attribute:
        least = _AXES.get(attribute.name)
        if least is not None and not least <= attribute.i <= LARGEST_RANK:
            return f"has {attribute.i} as its {attribute.name}"
    return ""


def _reference(node: onnx.NodeProto) -> str:
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            return f"takes {quoted(attribute.name)} from a function, but lies in none"
    return ""


def _other_outputs(node: onnx.NodeProto) -> str:
    if node.op_type != "Split":
        return ""
    for attribute in node.attribute:
        if attribute.name == "num_outputs" and attribute.i != len(node.output):
            return f"says {attribute.i} outputs and has {len(node.output)}"
    return ""
