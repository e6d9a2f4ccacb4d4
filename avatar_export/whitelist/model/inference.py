"""Shapes of a whole graph at once, and of one node whose operands are known."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import onnx
from onnx import ModelProto, NodeProto, TensorProto, TypeProto
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError, infer_node_outputs, infer_shapes

from avatar_export.errors import ModelError
from avatar_export.whitelist.model.early import as_later, keeps_first, version_that_infers
from avatar_export.whitelist.model.growth import is_tame, is_wild
from avatar_export.whitelist.model.hazards import hazard, hide, show
from avatar_export.whitelist.model.inlining import inlined
from avatar_export.whitelist.model.light import light_copy, opsets
from avatar_export.whitelist.model.schema import Definition, definition

if TYPE_CHECKING:
    from avatar_export.whitelist.view import ModelView


_LARGEST_TYPE = 4096  # bytes; sequences of sequences nest without end
_NO_SCHEMAS = 0  # version of a domain whose operators are all unknown


@dataclass(frozen=True)
class Analysed:
    """A graph with its inferred shapes, and what was left out of it.

    Attributes:
        graph: large tensors are cut down to type and shape.
        opsets: version of each domain.
        sound: whether ONNX saw, and agreed with, every node and every declared shape.
        tensors: the large tensors by name.
        declared: types that the model states; used where inference that failed says nothing.
        outer: the graph around a control-flow body.
    """

    graph: onnx.GraphProto
    opsets: dict[str, int]
    sound: bool
    tensors: dict[str, TensorProto] = field(default_factory=dict)
    declared: dict[str, TypeProto] = field(default_factory=dict)
    outer: ModelView | None = None


def analyse(model: ModelProto) -> Analysed:
    """Copy without weights, functions written out, shapes inferred as far as ONNX can.

    Raises:
        ModelError: names are no text, or local functions have no finite expansion.
    """
    try:
        light, heavy = light_copy(model)
    except UnicodeDecodeError as error:
        raise ModelError("a name in the model is not UTF-8") from error
    light = inlined(light)
    versions = opsets(light)
    for entry in light.opset_import:
        entry.version = entry.version if not entry.domain else _NO_SCHEMAS
    hidden = hide(light.graph, versions[""])
    light, sound, declared = _inferred(light)
    if hidden:
        show(light.graph)
    return Analysed(light.graph, versions, sound and not hidden, heavy, declared)


def _inferred(light: ModelProto) -> tuple[ModelProto, bool, dict[str, TypeProto]]:
    """The model with inferred shapes, whether it is sound, and the declared types if not."""
    if not is_tame(light.graph):
        return light, False, _take_declared(light.graph)
    try:
        return infer_shapes(light, strict_mode=True), True, {}
    except Exception:  # the C++ code raises any type; what is wrong is asked node by node
        declared = _take_declared(light.graph)
    with suppress(Exception):  # else nothing is inferred: every node is on its own
        light = infer_shapes(light)
    return light, False, declared


def _take_declared(graph: onnx.GraphProto) -> dict[str, TypeProto]:
    """Remove the types stated for results of ONNX operators: one of them may be what is wrong."""
    made = {name for node in graph.node if not node.domain for name in node.output}
    declared = {v.name: TypeProto() for v in (*graph.value_info, *graph.output) if v.name in made}
    for value in (*graph.value_info, *graph.output):
        if value.name in made:
            declared[value.name].CopyFrom(value.type)
            value.ClearField("type")
    kept = [v for v in graph.value_info if v.name not in made]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    return declared


def infer_node(
    node: NodeProto,
    opset: int,
    types: dict[str, TypeProto],
    values: dict[str, TensorProto],
) -> dict[str, TypeProto]:
    """Types of the outputs of one node of the default domain; empty when ONNX cannot say.

    Raises:
        InferenceError: the node contradicts itself or its operands.
    """
    known = definition(node.op_type, opset)
    unknown = any(name not in types for name in node.input if name)
    if known.schema is None or unknown or hazard(node, opset) or is_wild(node, types):
        return {}
    if not known.infers and keeps_first(node):
        return {node.output[0]: types[node.input[0]]} if any(node.input[:1]) else {}
    if not known.infers:
        opset = version_that_infers(node.op_type, opset)
        later = as_later(node, opset, values, types) if opset else None
        if later is None:
            return {}
        node, known = later, definition(node.op_type, opset)
    assert known.schema is not None  # neither for what was known nor for what is later
    if any(a.name not in known.types for a in node.attribute):
        node = _without_foreign_attributes(node, known)
    try:
        found = infer_node_outputs(known.schema, node, types, values, opset_imports=_import(opset))
        return {name: t for name, t in found.items() if t.ByteSize() <= _LARGEST_TYPE}
    except InferenceError:
        raise
    except ValidationError as error:
        raise InferenceError(str(error)) from error
    except Exception:  # values that C++ cannot hold: nothing to learn
        return {}


def _without_foreign_attributes(node: NodeProto, known: Definition) -> NodeProto:
    copy = NodeProto(op_type=node.op_type, input=node.input, output=node.output)
    copy.attribute.extend(a for a in node.attribute if a.name in known.types)
    return copy


@lru_cache(maxsize=64)
def _import(opset: int) -> list[onnx.OperatorSetIdProto]:
    return [onnx.helper.make_opsetid("", opset)]
