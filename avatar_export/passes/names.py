"""Names that are still free in a graph."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir


class Names:
    """Names that nodes and values of one model bear."""

    def __init__(self, model: ir.Model) -> None:
        graph = model.graph
        values = [*graph.inputs, *graph.initializers.values()]
        values += [value for node in graph for value in node.outputs]
        self._values = {value.name for value in values if value.name}
        self._nodes = {node.name for node in graph if node.name}

    def release(self, nodes: Sequence[ir.Node]) -> None:
        """Let others bear the names of nodes that go."""
        self._nodes -= {node.name for node in nodes if node.name}

    def free_node(self, wish: str) -> str:
        """``wish``, or with the first number that makes it free among nodes; then taken."""
        return _free(wish, self._nodes)

    def free_value(self, wish: str) -> str:
        """The same among values."""
        return _free(wish, self._values)


def _free(wish: str, taken: set[str]) -> str:
    name, number = wish, 1
    while name in taken:
        name, number = f"{wish}_{number}", number + 1
    taken.add(name)
    return name
