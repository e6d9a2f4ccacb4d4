"""Local functions written out in the graph, unless that would grow without bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter

from onnx import FunctionProto, ModelProto, NodeProto
from onnx.inliner import inline_local_functions

from avatar_export.errors import ModelError
from avatar_export.whitelist.model.light import bodies_of

# Twenty short functions that call each other twice make a million nodes out of a kilobyte.
_MOST_NODES = 500_000
_Key = tuple[str, str, str]


def inlined(model: ModelProto) -> ModelProto:
    """The model without local functions; calls that ONNX cannot write out stay as they are.

    Raises:
        ModelError: the functions call each other in a circle, or grow beyond half a million nodes.
    """
    if not model.functions:
        return model
    if expanded_size(model) > _MOST_NODES:
        raise ModelError(f"local functions expand to more than {_MOST_NODES} nodes")
    for convert in (True, False):
        try:
            model = inline_local_functions(model, convert)
            break
        except Exception:  # the C++ inliner raises any type
            continue
    del model.functions[:]
    return model


def expanded_size(model: ModelProto) -> int:
    """Number of nodes once every local function is written out.

    Raises:
        ModelError: the functions call each other in a circle.
    """
    bodies = {_key(f): Counter(map(_called, _nodes(f.node))) for f in model.functions}
    graph = Counter(map(_called, _nodes(model.graph.node)))
    sizes: dict[_Key, int] = {}
    try:
        order = TopologicalSorter({key: calls.keys() for key, calls in bodies.items()})
        for key in order.static_order():
            sizes[key] = _total(bodies[key], sizes) if key in bodies else 1
    except CycleError as error:
        raise ModelError(f"local function {error.args[1][0][1]} calls itself") from error
    return _total(graph, sizes)


def _total(calls: Counter[_Key], sizes: dict[_Key, int]) -> int:
    return sum(count * sizes.get(key, 1) for key, count in calls.items())


def _nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Nodes and all that lie in their bodies."""
    for node in nodes:
        yield node
        for body in bodies_of(node):
            yield from _nodes(body.node)


def _key(function: FunctionProto) -> _Key:
    return function.domain, function.name, function.overload


def _called(node: NodeProto) -> _Key:
    return node.domain, node.op_type, node.overload
