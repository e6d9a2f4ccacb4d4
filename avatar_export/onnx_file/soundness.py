"""Messages of a model, each by itself: text that is text, tensors whose data fits their shape.

What a document or an SDK forbids is for the whitelist to judge. What stands here would make onnx
itself, numpy or a renderer fail: it is refused before any of them sees it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from avatar_export.errors import ModelError
from avatar_export.onnx_file.elements import entries, nbytes
from avatar_export.onnx_file.quoting import quoted

if TYPE_CHECKING:
    import onnx

LARGEST_RANK = 64
"""Axes of the largest array that numpy can hold (numpy 2, NPY_MAXDIMS)."""
LARGEST_TENSOR = 2**48
"""Bytes, far above any memory: shapes beyond overflow in code that multiplies them."""
LONGEST_NAME = 4096
_FREE_TEXT = ("doc_string", "value")
"""String fields that are not names: they may hold line breaks and be long."""
_STRING, _MESSAGE = 9, 11
"""Field types of protobuf (descriptor.proto, FieldDescriptorProto.Type)."""
DEFAULT_DOMAINS = ("", "ai.onnx")
# Terminals, XML and the logs of GitHub Actions take these for commands, or refuse them.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")


def require_sound(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Check versions and every message of the model.

    Dimensions of inputs, outputs and values that are negative become unknown ones: exporters write
    -1 where they know none.

    Returns:
        The tensors whose data lies in other files, which remains to be checked.

    Raises:
        ModelError: naming the first message that cannot be relied on.
    """
    _require_versions(model)
    external = []
    for message, fields in messages(model):
        for field, value in fields:
            if field.type == _STRING:
                _require_text(field.name, value)
        kind = message.DESCRIPTOR.name
        if kind in _CHECKS:
            _CHECKS[kind](message)
        if kind == "TensorProto" and message.data_location:
            external.append(message)
    return external


def messages(root: onnx.ModelProto) -> Iterator[tuple[Any, list[tuple[Any, Any]]]]:
    """(message, its fields that are set) of the model and of everything in it."""
    waiting: list[Iterator[Any]] = [iter([root])]
    while waiting:
        message = next(waiting[-1], None)
        if message is None:
            waiting.pop()
            continue
        fields = message.ListFields()
        yield message, fields
        for field, value in fields:
            if field.type == _MESSAGE:
                single = hasattr(value, "ListFields")
                waiting.append(iter([value] if single else value))


def _require_text(field: str, value: Any) -> None:
    """Text or a list of it; protobuf hands out bytes where it is not UTF-8."""
    for text in (value,) if isinstance(value, (str, bytes)) else value:
        if not isinstance(text, str):
            raise ModelError(f"{field} {quoted(text)} is not UTF-8 text")
        if field in _FREE_TEXT or (text.isprintable() and len(text) <= LONGEST_NAME):
            continue
        if len(text) > LONGEST_NAME:
            raise ModelError(f"{field} {quoted(text)} is longer than {LONGEST_NAME} characters")
        if _CONTROL.search(text):
            raise ModelError(f"{field} {quoted(text)} holds control characters")


def _require_versions(model: onnx.ModelProto) -> None:
    import onnx

    if not 1 <= model.ir_version <= onnx.IR_VERSION:
        raise ModelError(
            f"its IR version is {model.ir_version}; onnx {onnx.__version__} knows 1 to"
            f" {onnx.IR_VERSION}",
            "install a newer onnx, or save the model with an older IR version",
        )
    imported = [(entry, "the model") for entry in model.opset_import]
    imported += [(entry, quoted(f.name)) for f in model.functions for entry in f.opset_import]
    # A model of foreign operators alone may do without the opset of ONNX.
    unversioned = not any(entry.domain in DEFAULT_DOMAINS for entry in model.opset_import)
    if unversioned and any(node.domain in DEFAULT_DOMAINS for node in model.graph.node):
        raise ModelError("it does not say which opset of ONNX its operators are of")
    newest = onnx.defs.onnx_opset_version()
    for entry, owner in imported:
        highest = newest if entry.domain in DEFAULT_DOMAINS else 2**31 - 1
        if not 1 <= entry.version <= highest:
            raise ModelError(
                f"{owner} is of opset {entry.version} of {quoted(entry.domain or 'ai.onnx')};"
                f" onnx {onnx.__version__} knows 1 to {highest}",
                "install a newer onnx, or export with an older opset",
            )


def _require_tensor(tensor: onnx.TensorProto) -> None:
    """Data of a known type, as much of it as the shape needs; external data is checked later."""
    import onnx

    owner = f"tensor {quoted(tensor.name)}"
    _require_dims(owner, tensor.dims)
    if tensor.data_type not in onnx.TensorProto.DataType.values() or not tensor.data_type:
        raise ModelError(f"{owner} is of the unknown data type {tensor.data_type}")
    if tensor.HasField("segment"):
        raise ModelError(f"{owner} is stored in segments, which nothing reads any more")
    if prod(max(dim, 1) for dim in tensor.dims) > LARGEST_TENSOR:
        raise ModelError(f"{owner} is of the impossible shape {list(tensor.dims)}")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return
    if tensor.HasField("raw_data"):
        stored, needed, unit = len(tensor.raw_data), nbytes(tensor), "bytes"
    else:
        field = onnx.helper.tensor_dtype_to_field(tensor.data_type)
        stored, needed, unit = len(getattr(tensor, field)), entries(tensor), f"of {field}"
    if stored != needed:
        raise ModelError(
            f"{owner} of shape {list(tensor.dims)} needs {needed} {unit} and holds {stored}"
        )


def _require_sparse(tensor: onnx.SparseTensorProto) -> None:
    _require_dims(f"sparse tensor {quoted(tensor.values.name)}", tensor.dims)


def _require_dims(owner: str, dims: Any) -> None:
    if len(dims) > LARGEST_RANK:
        raise ModelError(f"{owner} has {len(dims)} axes, more than the {LARGEST_RANK} of any array")
    if any(dim < 0 for dim in dims):
        raise ModelError(f"{owner} has a negative dimension in {list(dims)}")


def _require_shape(shape: onnx.TensorShapeProto) -> None:
    if len(shape.dim) > LARGEST_RANK:
        raise ModelError(f"a shape has {len(shape.dim)} axes, more than {LARGEST_RANK}")
    for dim in shape.dim:
        if dim.dim_value < 0:
            dim.ClearField("dim_value")
        elif dim.dim_value > LARGEST_TENSOR:
            raise ModelError(f"a shape has the impossible dimension {dim.dim_value}")


def _require_node(node: onnx.NodeProto) -> None:
    if not node.op_type:
        raise ModelError(f"node {quoted(node.name)} has no operator")
    given = [attribute.name for attribute in node.attribute]
    if len(set(given)) < len(given):
        twice = next(name for name in given if given.count(name) > 1)
        raise ModelError(f"node {quoted(node.name)} has the attribute {quoted(twice)} twice")


def _require_attribute(attribute: onnx.AttributeProto) -> None:
    """A type, and the message that it promises; numbers may be left out where they are zero."""
    name = quoted(attribute.name)
    if not attribute.name or not attribute.type:
        raise ModelError(f"attribute {name} has no {'type' if attribute.name else 'name'}")
    field = _MESSAGE_FIELDS.get(attribute.type)
    if field and not attribute.ref_attr_name and not attribute.HasField(field):
        raise ModelError(f"attribute {name} holds no {field}")


# By AttributeProto.AttributeType: TENSOR, GRAPH, SPARSE_TENSOR, TYPE_PROTO (onnx.proto).
_MESSAGE_FIELDS = {4: "t", 5: "g", 11: "sparse_tensor", 13: "tp"}
_CHECKS: dict[str, Callable[[Any], None]] = {
    "TensorProto": _require_tensor,
    "SparseTensorProto": _require_sparse,
    "TensorShapeProto": _require_shape,
    "NodeProto": _require_node,
    "AttributeProto": _require_attribute,
}
