"""Model-local functions: what a model grows to when every call is replaced by its body."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from avatar_export.errors import ModelError
from avatar_export.onnx_file.names import subgraphs
from avatar_export.onnx_file.quoting import quoted

if TYPE_CHECKING:
    import onnx

DEEPEST_NESTING = 30
"""Graphs within graphs: each takes 3 of the 100 levels of messages that protobuf reads."""
DEEPEST_CALLS = 100
_GROWTH, _ALLOWANCE = 10, 16 * 2**20
"""A model may grow to this multiple of its size, plus this many bytes."""
_REFERENCE = 64
"""Bytes that a tensor name takes in an inlined body, as an estimate."""

Key = tuple[str, str, str]


class Extent(NamedTuple):
    """Size of a body with its calls replaced: bytes, and graphs within graphs."""

    size: int
    nesting: int


def require_finite(model: onnx.ModelProto) -> None:
    """Check that functions do not call themselves, nor grow without measure.

    Raises:
        ModelError: they do, or two functions have the same name.
    """
    if not model.functions:
        return
    calls = _Calls(model)
    extent = calls.extent(model.graph.node)
    allowed = _GROWTH * model.ByteSize() + _ALLOWANCE
    if extent.size > allowed:
        raise ModelError(f"its functions grow to {extent.size} bytes, {allowed} are the limit")
    if extent.nesting > DEEPEST_NESTING:
        raise ModelError(f"its functions nest more than {DEEPEST_NESTING} graphs in each other")


class _Calls:
    """Extents of the functions of a model, each found once."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._functions: dict[Key, onnx.FunctionProto] = {}
        for function in model.functions:
            key = (function.domain, function.name, function.overload)
            if key in self._functions:
                raise ModelError(f"the function {quoted(function.name)} is there twice")
            self._functions[key] = function
        self._extents: dict[Key, Extent] = {}
        self._open: list[Key] = []

    def extent(self, nodes: Sequence[onnx.NodeProto]) -> Extent:
        """Of the functions that these nodes call, directly or not."""
        size = nesting = 0
        for node, depth in nodes_within(nodes):
            key = (node.domain, node.op_type, node.overload)
            found = self._of_function(key) if key in self._functions else Extent(0, 0)
            size += found.size
            nesting = max(nesting, depth + found.nesting)
        return Extent(size, nesting)

    def _of_function(self, key: Key) -> Extent:
        if key in self._open:
            raise ModelError(f"the function {quoted(key[1])} calls itself")
        if len(self._open) == DEEPEST_CALLS:
            raise ModelError(f"its functions call each other more than {DEEPEST_CALLS} deep")
        if key not in self._extents:
            self._open.append(key)
            function = self._functions[key]
            called = self.extent(function.node)
            own = function.ByteSize() + _REFERENCE * _references(function.node)
            self._extents[key] = Extent(own + called.size, called.nesting)
            self._open.pop()
        return self._extents[key]


def nodes_within(
    nodes: Iterable[onnx.NodeProto], depth: int = 0
) -> Iterator[tuple[onnx.NodeProto, int]]:
    """(node, graphs it lies in) of these nodes and of those in their subgraphs."""
    for node in nodes:
        yield node, depth
        for graph in subgraphs(node):
            yield from nodes_within(graph.node, depth + 1)


def _references(nodes: Sequence[onnx.NodeProto]) -> int:
    return sum(len(node.input) + len(node.output) for node, _ in nodes_within(nodes))
