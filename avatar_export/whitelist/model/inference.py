"""Shapes of a whole graph at once, and of one node whose operands are known."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import onnx
from onnx import ModelProto, NodeProto, TensorProto, TypeProto
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError, infer_node_outputs, infer_shapes

from avatar_export.errors import ModelError
from avatar_export.whitelist.model.hazards import may_carry_values
from avatar_export.whitelist.model.inlining import inlined
from avatar_export.whitelist.model.light import light_copy, opsets
from avatar_export.whitelist.model.schema import definition

if TYPE_CHECKING:
    from avatar_export.whitelist.view import ModelView


@dataclass(frozen=True)
class Analysed:
    """A graph with its inferred shapes, and what was left out of it.

    Attributes:
        graph: large tensors are cut down to type and shape.
        opsets: version of each domain.
        sound: whether ONNX agreed with every node and every declared shape.
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
    values = may_carry_values(light.graph)
    try:
        sound = infer_shapes(light, strict_mode=True, data_prop=values)
        return Analysed(sound.graph, opsets(sound), True, heavy)
    except Exception:  # the C++ code raises any type; what is wrong is asked node by node
        declared = _take_declared(light.graph)
    with suppress(Exception):  # else nothing is inferred: every node is on its own
        light = infer_shapes(light, data_prop=values)
    return Analysed(light.graph, opsets(light), False, heavy, declared)


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
    schema = definition(node.op_type, opset).schema
    if schema is None or any(name not in types for name in node.input if name):
        return {}
    known = NodeProto(op_type=node.op_type, input=node.input, output=node.output)
    known.attribute.extend(a for a in node.attribute if a.name in schema.attributes)
    imports = [onnx.helper.make_opsetid("", opset)]
    try:
        return infer_node_outputs(schema, known, types, values, opset_imports=imports)
    except InferenceError:
        raise
    except ValidationError as error:
        raise InferenceError(str(error)) from error
    except Exception:  # values that C++ cannot hold: nothing to learn
        return {}
