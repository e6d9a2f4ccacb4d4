"""What a pass is.

A pass rewrites a model into one that computes the same function. It says what it needs of the
model before it (:meth:`Pass.requires`), what holds after it (:meth:`Pass.ensures`), lists what it
changed, and stamps its name on the nodes it makes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from avatar_export.errors import ModelError

# Metadata key under which a node keeps the names of the passes that made or changed it.
STAMP = "avatar_export.pass"


class Pass(ABC):
    """One exact rewrite of a graph."""

    name: ClassVar[str]
    notes: Sequence[str] = ()  # what the last ``apply`` left alone, and why

    @abstractmethod
    def apply(self, model: ir.Model) -> list[str]:
        """Rewrite ``model`` in place; one line for each change, empty when nothing applied."""

    def requires(self, model: ir.Model) -> None:  # noqa: B027 - most passes accept any model
        """Raise a ModelError, naming the node, when the pass cannot work on ``model``."""

    def ensures(self, model: ir.Model) -> None:  # noqa: B027
        """Raise a ModelError when the pass left something undone: a bug, found early."""

    def stamp(self, node: ir.Node, *origins: ir.Node) -> ir.Node:
        """Mark ``node`` as made by this pass from ``origins``; returns it.

        The node takes over the name and metadata (the PyTorch module) of the first origin.
        """
        if origins:
            node.name = node.name or origins[0].name
            node.metadata_props.update(origins[0].metadata_props)
        before = node.metadata_props.get(STAMP)
        node.metadata_props[STAMP] = f"{before},{self.name}" if before else self.name
        return node


def constant(value: ir.Value | None) -> np.ndarray | None:
    """The numbers of an initializer or Constant node; None for anything computed or fed."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def fixed_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """The shape of a value if every dimension is a number."""
    if value is None or value.shape is None or not value.shape.is_static():
        return None
    return tuple(value.shape.numpy())


def add_initializer(model: ir.Model, name: str, array: np.ndarray) -> ir.Value:
    """Register a new initializer under a name that is still free."""
    graph = model.graph
    taken = {value.name for value in (*graph.inputs, *graph.initializers.values())}
    taken |= {value.name for node in graph for value in node.outputs}
    free, number = name, 1
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    value = ir.Value(
        name=free,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        const_value=ir.tensor(array, name=free),
    )
    graph.register_initializer(value)
    return value


def only_consumer(value: ir.Value) -> ir.Node | None:
    """The one node that reads ``value``, if it is read once and is no graph output."""
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def bypass(model: ir.Model, node: ir.Node, value: ir.Value) -> None:
    """Let ``value`` stand for the one output of ``node``, and remove ``node``.

    A graph output keeps its name, type and shape.
    """
    old = node.outputs[0]
    name = old.name
    is_output = old.is_graph_output()
    old.replace_all_uses_with(value, replace_graph_outputs=True)
    model.graph.remove(node, safe=True)
    if is_output:
        value.name = name
        value.type, value.shape = value.type or old.type, value.shape or old.shape


def opset(model: ir.Model) -> int:
    """Version of the default operator set.

    Raises:
        ModelError: the model imports none.
    """
    version = model.opset_imports.get("")
    if version is None:
        raise ModelError("the model imports no default operator set")
    return version


def drop_unused(model: ir.Model) -> None:
    """Remove nodes nobody reads, and initializers nobody uses.

    An initializer that is the default of a graph input stays: without it the input is demanded.
    """
    for node in reversed(list(model.graph)):
        if all(not v.uses() and not v.is_graph_output() for v in node.outputs):
            model.graph.remove(node, safe=True)
    for name, value in list(model.graph.initializers.items()):
        if not (value.uses() or value.is_graph_output() or value.is_graph_input()):
            del model.graph.initializers[name]
