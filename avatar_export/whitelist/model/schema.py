"""What ONNX says of an operator at an opset, looked up once for all its nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import onnx
from onnx import AttributeProto
from onnx.defs import OpSchema


@dataclass(frozen=True)
class Definition:
    """The schema of an operator in the form that is asked for at every node.

    Attributes:
        schema: None for an operator that ONNX does not know at this opset.
        defaults: attributes that have a default.
        required: attributes that must be given.
        types: ``AttributeProto`` type of each attribute.
        has_bodies: whether an attribute is a graph.
        infers: whether ONNX infers the types of its results; some first versions do not.
    """

    schema: OpSchema | None
    defaults: dict[str, object] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    types: dict[str, int] = field(default_factory=dict)
    has_bodies: bool = False
    infers: bool = False


UNKNOWN = Definition(None)


def opset_in_force(opset: int) -> int:
    """The opset, or the latest that the installed onnx knows."""
    return min(opset, int(onnx.defs.onnx_opset_version()))


@lru_cache(maxsize=4096)
def definition(operator: str, opset: int) -> Definition:
    """Definition of an operator of the default domain."""
    try:
        schema = onnx.defs.get_schema(operator, opset_in_force(opset), "")
    except (onnx.defs.SchemaError, TypeError):  # a name that is not UTF-8 comes as bytes
        return UNKNOWN
    attributes = schema.attributes
    return Definition(
        schema,
        {
            name: onnx.helper.get_attribute_value(known.default_value)
            for name, known in attributes.items()
            if known.default_value.type != AttributeProto.UNDEFINED
        },
        tuple(name for name, known in attributes.items() if known.required),
        {name: _type(known.type) for name, known in attributes.items()},
        any(known.type == OpSchema.AttrType.GRAPH for known in attributes.values()),
        schema.has_type_and_shape_inference_function,
    )


def _type(type_: OpSchema.AttrType) -> int:
    """The same type as a node states it."""
    return int(AttributeProto.AttributeType.Value(str(type_).rpartition(".")[2]))
