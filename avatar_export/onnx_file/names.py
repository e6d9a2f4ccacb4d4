"""Names of tensors: each written once, and before it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from avatar_export.errors import ModelError
from avatar_export.onnx_file.quoting import quoted

if TYPE_CHECKING:
    import onnx

Scopes = tuple[set[str], ...]
"""Names that can be read, those of the innermost graph first."""


def require_resolved(model: onnx.ModelProto) -> None:
    """Check the graph, its subgraphs and the functions.

    Raises:
        ModelError: a name is written twice, or read where nothing has written it.
    """
    _require_graph(model.graph, ())
    for function in model.functions:
        scopes = (_distinct("inputs", function.input),)
        _require_nodes(function.node, scopes)
        _require_outputs(function.output, scopes)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Bodies of a control-flow node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _require_graph(graph: onnx.GraphProto, outer: Scopes) -> None:
    stored = [tensor.name for tensor in graph.initializer]
    stored += [tensor.values.name for tensor in graph.sparse_initializer]
    # Before IR version 4 an initializer was always an input as well.
    known = _distinct("inputs", [value.name for value in graph.input])
    known |= _distinct("initializers", stored)
    scopes = (known, *outer)
    _require_nodes(graph.node, scopes)
    _require_outputs([value.name for value in graph.output], scopes)


def _distinct(kind: str, names: Sequence[str]) -> set[str]:
    distinct = set(names)
    if len(distinct) < len(names):
        name, count = Counter(names).most_common(1)[0]
        raise ModelError(f"a graph has {count} {kind} of the name {quoted(name)}")
    return distinct


def _require_nodes(nodes: Sequence[onnx.NodeProto], scopes: Scopes) -> None:
    """Walk the nodes in order, adding what they write to the innermost scope."""
    for node in nodes:
        for name in node.input:
            if name and not any(name in scope for scope in scopes):
                raise _unresolved(node, name, nodes)
        for graph in subgraphs(node):
            _require_graph(graph, scopes)
        for name in filter(None, node.output):
            if name in scopes[0]:
                raise ModelError(f"{_label(node)} writes {quoted(name)}, which is there already")
            scopes[0].add(name)


def _unresolved(node: onnx.NodeProto, name: str, nodes: Sequence[onnx.NodeProto]) -> ModelError:
    if any(name in other.output for other in nodes):
        return ModelError(
            f"{_label(node)} reads {quoted(name)} before it is written",
            "the graph has a cycle, or its nodes must be sorted",
        )
    return ModelError(f"{_label(node)} reads {quoted(name)}, which nothing writes")


def _require_outputs(names: Iterable[str], scopes: Scopes) -> None:
    for name in names:
        if not any(name in scope for scope in scopes):
            raise ModelError(f"nothing writes the output {quoted(name)}")


def _label(node: onnx.NodeProto) -> str:
    return f"node {quoted(node.name)} ({quoted(node.op_type)})"
