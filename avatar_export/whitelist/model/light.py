"""A copy of a model without its weights: small enough to infer shapes on, whatever its size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod

from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from avatar_export.errors import ModelError

LONG_DOMAIN = "ai.onnx"
# Shapes, axes, scales and the like stay, because shapes are inferred from them; weights go.
_MOST_WHOLE, _MOST_REAL = 4096, 64
_WHOLE = (TensorProto.INT64, TensorProto.INT32)
# Before IR version 4 an initializer that is no graph input has no type for shape inference.
_IR_VERSION = 8


def light_copy(model: ModelProto) -> tuple[ModelProto, dict[str, TensorProto]]:
    """The model with large tensors of the main graph cut down to type and shape.

    The domain ``ai.onnx`` is written as the empty one, and domains without an import get one.

    Raises:
        ModelError: a domain is not UTF-8.

    Returns:
        the copy, and the large tensors (those of the model itself) by name.
    """
    copy = ModelProto(ir_version=max(model.ir_version, _IR_VERSION))
    copy.functions.extend(model.functions)
    source, graph = model.graph, copy.graph
    graph.name = source.name
    for field in ("input", "output", "value_info", "sparse_initializer"):
        getattr(graph, field).extend(getattr(source, field))
    heavy = {t.name: t for t in source.initializer if _is_heavy(t)}
    graph.initializer.extend(_stub(t) if t.name in heavy else t for t in source.initializer)
    for node in source.node:
        _copy_node(node, graph.node.add(), heavy)
    domains = {entry.domain for entry in (*model.opset_import, *source.node)}
    if not all(isinstance(domain, str) for domain in domains):
        raise ModelError("a domain in the model is not UTF-8")
    if LONG_DOMAIN in domains:
        _shorten(graph)
    for domain, version in opsets(model, domains).items():
        copy.opset_import.add(domain=domain, version=version)
    return copy, heavy


def opsets(model: ModelProto, domains: Iterable[str] = ()) -> dict[str, int]:
    """Version of each imported domain; 1 for further ones that nodes use without an import."""
    found: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == LONG_DOMAIN else entry.domain
        found.setdefault(domain, max(int(entry.version), 1))
    for domain in ("", *sorted(domains)):
        found.setdefault("" if domain == LONG_DOMAIN else domain, 1)
    return found


def _copy_node(node: NodeProto, copy: NodeProto, heavy: dict[str, TensorProto]) -> None:
    tensor = constant_tensor(node) if node.op_type == "Constant" and node.output else None
    if tensor is None or not _is_heavy(tensor):
        copy.CopyFrom(node)
        return
    heavy[node.output[0]] = tensor
    copy.op_type, copy.name, copy.domain = node.op_type, node.name, node.domain
    copy.output.extend(node.output)
    copy.attribute.add(name="value", type="TENSOR", t=_stub(tensor))


def constant_tensor(node: NodeProto) -> TensorProto | None:
    """Tensor that a Constant node holds as one; None for its scalar, list and sparse forms."""
    return next((a.t for a in node.attribute if a.name == "value" and a.HasField("t")), None)


def _is_heavy(tensor: TensorProto) -> bool:
    most = _MOST_WHOLE if tensor.data_type in _WHOLE else _MOST_REAL
    return int(prod(tensor.dims)) > most


def _stub(tensor: TensorProto) -> TensorProto:
    """Name, type and shape only; marked external so that nobody reads zeros out of it."""
    return TensorProto(
        name=tensor.name,
        data_type=tensor.data_type,
        dims=tensor.dims,
        data_location=TensorProto.EXTERNAL,
    )


def _shorten(graph: GraphProto) -> None:
    for node in graph.node:
        if node.domain == LONG_DOMAIN:
            node.domain = ""
        for body in bodies_of(node):
            _shorten(body)


def bodies_of(node: NodeProto) -> Iterator[GraphProto]:
    """Graphs that are attributes of a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
