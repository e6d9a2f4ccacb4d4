"""Nodes of operator versions for which ONNX has no shape inference, told in a later version.

Relu, Clip, Reshape, the sums and others have none before set 5 to 7, LessOrEqual of set 12 neither.
"""

from __future__ import annotations

from functools import lru_cache

import onnx
from onnx import NodeProto, TensorProto, TypeProto

from avatar_export.whitelist.model.schema import definition

_SHAPE = "shape of the reshape"
_LATEST = 22


@lru_cache(maxsize=256)
def version_that_infers(operator: str, opset: int) -> int:
    """The first later operator set in which the results can be inferred; 0 when there is none."""
    later = range(opset + 1, _LATEST + 1)
    return next((version for version in later if definition(operator, version).infers), 0)


def keeps_first(node: NodeProto) -> bool:
    """Whether the result has the type of the first operand: sums before set 7 that broadcast."""
    return len(node.output) == 1 and any(a.name == "broadcast" and a.i for a in node.attribute)


def as_later(
    node: NodeProto, version: int, values: dict[str, TensorProto], types: dict[str, TypeProto]
) -> NodeProto | None:
    """The node in the spelling of a later operator set; None where it has none.

    Args:
        values: of constants; the shape of a Reshape, an attribute in set 1, is added here.
        types: likewise.
    """
    given = {attribute.name: attribute for attribute in node.attribute}
    known = definition(node.op_type, version)
    copy = NodeProto(op_type=node.op_type, input=node.input, output=node.output)
    copy.attribute.extend(a for name, a in given.items() if name in known.types)
    if node.op_type == "Reshape" and "shape" in given:
        shape = onnx.helper.make_tensor(
            _SHAPE, TensorProto.INT64, [len(given["shape"].ints)], given["shape"].ints
        )
        values[_SHAPE], copy.input[1:] = shape, [_SHAPE]
        types[_SHAPE] = onnx.helper.make_tensor_type_proto(TensorProto.INT64, shape.dims)
    assert known.schema is not None  # it infers
    complete = known.schema.min_input <= len(copy.input) <= known.schema.max_input
    return copy if complete and all(name in given for name in known.required) else None
