"""One node as the rules see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import onnx
from onnx import GraphProto, NodeProto

from avatar_export.whitelist.model.light import LONG_DOMAIN
from avatar_export.whitelist.model.schema import UNKNOWN, Definition, definition
from avatar_export.whitelist.model.types import Shape, UndeterminedError
from avatar_export.whitelist.model.validity import invalid_because

if TYPE_CHECKING:
    from avatar_export.whitelist.view import ModelView


class NodeView:
    """One node, with its inputs and outputs resolved through the model.

    Attributes:
        model: the graph that the node stands in.
        proto: the node itself; a large tensor in it is cut down to type and shape.
        operator: ONNX operator, and ``domain`` its domain, empty for ``ai.onnx``.
        name: its own name, or one made of operator and position.
        inputs: names, empty where an optional input is absent.
        outputs: names that are not empty.

    Raises:
        TypeError: a name is not UTF-8.
    """

    __slots__ = (
        "_attributes",
        "_bodies",
        "_captures",
        "domain",
        "inputs",
        "model",
        "name",
        "operator",
        "outputs",
        "proto",
    )

    def __init__(self, model: ModelView, node: NodeProto, index: int) -> None:
        self.model = model
        self.proto = node
        self.operator = node.op_type
        self.domain = "" if node.domain == LONG_DOMAIN else node.domain
        self.name = node.name or f"{node.op_type}_{index}"
        self.inputs: list[str] = list(node.input)
        self.outputs: list[str] = [name for name in node.output if name]
        self._attributes: dict[str, object] | None = None
        self._bodies: list[tuple[str, ModelView]] | None = None
        self._captures: tuple[str, ...] | None = None
        # Protobuf gives bytes for what is not UTF-8; join refuses them.
        "".join((self.operator, self.domain, self.name, *self.inputs, *self.outputs))

    @property
    def definition(self) -> Definition:
        """What ONNX says of the operator at the model's opset."""
        return UNKNOWN if self.domain else definition(self.operator, self.model.opset)

    @property
    def schema(self) -> onnx.defs.OpSchema | None:
        """Operator definition in force at the model's opset; None for a foreign operator."""
        return self.definition.schema

    @property
    def is_foreign(self) -> bool:
        """Whether the operator lies outside the ONNX default domain."""
        return bool(self.domain)

    @property
    def is_folded(self) -> bool:
        """Whether the converter computes the node itself, so that no runtime sees it."""
        constants = self.model.constants
        return all(name in constants for name in self.outputs)

    @property
    def invalid(self) -> str:
        """Why the node breaks the ONNX specification; empty when it does not."""
        return invalid_because(self)

    @property
    def given(self) -> dict[str, object]:
        """Attributes that the node itself states, by name, but for those of a wrong type."""
        if self._attributes is None:
            value, types = onnx.helper.get_attribute_value, self.definition.types
            self._attributes = {
                a.name: value(a)
                for a in self.proto.attribute
                if a.type == types.get(a.name, a.type) and not a.ref_attr_name
            }
        return self._attributes

    def attribute(self, name: str) -> object:
        """Value of an attribute, or its default in the schema; None when there is neither."""
        found = self.given.get(name)
        return self.definition.defaults.get(name) if found is None else found

    def ints(self, name: str) -> list[int] | None:
        """An attribute that is a list of integers; None when it is absent."""
        value = self.attribute(name)
        return [int(v) for v in value] if isinstance(value, (list, tuple)) else None

    def listed(self, name: str, index: int) -> list[int] | None:
        """Integers of an attribute that is an input in later sets; None when there is neither.

        Raises:
            UndeterminedError: the input is not known.
        """
        given = self.ints(name)
        if given is None and self.has(index):
            given = [int(v) for v in self.model.value(self.inputs[index]).ravel()]
        return given

    def has(self, index: int) -> bool:
        """Whether the input is there (an optional one may be absent or empty)."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def is_constant(self, index: int) -> bool:
        """Whether the input is known when the model is converted."""
        return self.has(index) and self.inputs[index] in self.model.constants

    def shape(self, index: int = 0) -> Shape:
        """Static shape of an input. Raises ``UndeterminedError``."""
        return self.model.shape(self._input(index))

    def rank(self, index: int = 0) -> int:
        """Rank of an input. Raises ``UndeterminedError``."""
        dims = self.model.dims(self._input(index))
        if dims is None:
            raise UndeterminedError(f"the rank of {self.inputs[index]} is unknown")
        return len(dims)

    def dtype(self, index: int = 0) -> str:
        """Element type of an input by its QNN name. Raises ``UndeterminedError``."""
        return self.model.dtype(self._input(index))

    def output_shape(self, index: int = 0) -> Shape:
        """Static shape of an output. Raises ``UndeterminedError``."""
        return self.model.shape(self._output(index))

    def output_dtype(self, index: int = 0) -> str:
        """Element type of an output by its QNN name. Raises ``UndeterminedError``."""
        return self.model.dtype(self._output(index))

    def _input(self, index: int) -> str:
        if not self.has(index):
            raise UndeterminedError(f"input {index} of {self.name} is absent")
        return self.inputs[index]

    def _output(self, index: int) -> str:
        if index >= len(self.outputs):
            raise UndeterminedError(f"output {index} of {self.name} is absent")
        return self.outputs[index]

    def operands(self) -> list[int]:
        """Indices of the inputs that are there."""
        return [i for i, name in enumerate(self.inputs) if name]

    def producer(self, index: int) -> str:
        """Operator that writes an input; empty for graph inputs and initializers."""
        node = self.model.producers.get(self.inputs[index]) if self.has(index) else None
        return node.operator if node else ""

    def feeds(self) -> list[str]:
        """Operators that read any output of the node."""
        return [n.operator for name in self.outputs for n in self.model.consumers.get(name, ())]

    def bodies(self) -> list[tuple[str, ModelView]]:
        """Control-flow bodies: attribute name, such as ``then_branch``, and a view of the graph.

        Names from outside are resolved: they have their shape, type and value in the body too.
        """
        if self._bodies is None:
            self._bodies = [(name, self.model.within(g)) for name, g in self._graphs()]
        return self._bodies

    @property
    def captures(self) -> tuple[str, ...]:
        """Names that the bodies read from the graph around them."""
        if self._captures is None:
            names = (name for _, graph in self._graphs() for name in free_names(graph))
            self._captures = tuple(dict.fromkeys(names))
        return self._captures

    def _graphs(self) -> Iterator[tuple[str, GraphProto]]:
        if not self.domain and not self.definition.has_bodies:
            return
        yield from graphs_of(self.proto)

    @property
    def origin(self) -> str:
        """PyTorch module path recorded by the exporter; empty when there is none.

        torch.onnx writes scope lists into metadata (dynamo) or paths into node names (legacy).
        """
        for entry in self.proto.metadata_props:
            if entry.key == "pkg.torch.onnx.name_scopes":
                scopes = [s.strip(" '\"[]") for s in str(entry.value).split(",")]
                return next((s for s in reversed(scopes[:-1]) if s), "")
        return ".".join(self.name.split("/")[1:-1]) if self.name.startswith("/") else ""


def graphs_of(node: NodeProto) -> Iterator[tuple[str, GraphProto]]:
    """Attribute name and graph of each body of a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        for i, graph in enumerate(attribute.graphs):
            yield f"{attribute.name}[{i}]", graph


def free_names(graph: GraphProto) -> list[str]:
    """Names that a graph reads but does not define, those of its own bodies included."""
    own = {v.name for v in graph.input} | {t.name for t in graph.initializer}
    own |= {t.values.name for t in graph.sparse_initializer}
    found: dict[str, None] = {}
    for node in graph.node:
        read = [*node.input, *(n for _, body in graphs_of(node) for n in free_names(body))]
        found.update((name, None) for name in read if name and name not in own)
        own.update(node.output)
    found.update((v.name, None) for v in graph.output if v.name not in own)
    return list(found)
