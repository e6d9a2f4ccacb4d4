"""Read-only views of a model for the rules: static shapes, data types, constants, neighbours."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property

import onnx
from onnx import TensorProto, TypeProto, numpy_helper
from onnx.shape_inference import InferenceError

from avatar_export.errors import ModelError
from avatar_export.whitelist.model.folding import Array, Folder, constant_value, dense
from avatar_export.whitelist.model.inference import Analysed, analyse, infer_node
from avatar_export.whitelist.model.names import Names
from avatar_export.whitelist.model.node import NodeView, free_names
from avatar_export.whitelist.model.types import Dims, NamedDims, Shape, UndeterminedError, elements

__all__ = ["Dims", "ModelView", "NamedDims", "NodeView", "Shape", "UndeterminedError"]

_MOST_GIVEN = 4096  # elements of a constant that shapes may be inferred from


class ModelView(Names):
    """Names of one graph resolved to shapes, types, constants and neighbours.

    Args:
        source: any model, which is not changed: local functions are inlined and shapes inferred
            on a copy without weights. Or a graph that was analysed already.

    Attributes:
        graph: the copy, with inferred shapes.
        opset: version of the default domain; ``opsets`` has those of all domains.
        nodes: in the order of the graph.
        constants: names that the converter folds: initializers, and all that is made of them.
        sound: whether ONNX agreed with every node and every declared shape.
        outer: the graph around a control-flow body; None for the main graph.

    Raises:
        ModelError: the protobuf cannot be analysed at all.
    """

    notes: object = None
    """What callers know of the graph as a whole."""

    def __init__(self, source: onnx.ModelProto | Analysed) -> None:
        analysed = source if isinstance(source, Analysed) else analyse(source)
        self.graph, self.outer = analysed.graph, analysed.outer
        self.opsets, self.opset = analysed.opsets, analysed.opsets[""]
        self.sound = analysed.sound
        outer = self.outer
        captured = set(filter(outer.defines, free_names(self.graph))) if outer else set()
        super().__init__(self.graph, analysed.tensors, outer, captured)
        self.constants = set(self._tensors)
        self.constants |= captured & outer.constants if outer else set()
        try:
            self.nodes = [NodeView(self, node, i) for i, node in enumerate(self.graph.node)]
            "".join(v.name for v in (*self.graph.input, *self.graph.output))
        except TypeError as error:
            raise ModelError("a name in the model is not UTF-8") from error
        self._folder = Folder(self)
        self._walk(analysed.declared)

    def _walk(self, declared: dict[str, TypeProto]) -> None:
        """One pass in order: find the constants, and infer with them what ONNX left open."""
        computed: set[str] = set()
        for node in self.nodes:
            if node.operator == "Constant" and not node.domain:
                self._read_constant(node)
            elif self._folder.offer(node):
                self.constants.update(node.outputs)
                computed.update(node.outputs)
            if self.is_static(*node.outputs):
                continue
            # ONNX has tried this node before, and knows no more unless an operand does.
            fresh = not (node.domain or node.definition.infers)
            if not self.sound or self.outer or fresh or not computed.isdisjoint(node.inputs):
                computed.update(self._improve(node))
            for name in node.outputs:
                if name in declared and self.learn(name, declared[name]):
                    computed.add(name)

    def _read_constant(self, node: NodeView) -> None:
        value = constant_value(node.proto) if node.outputs else None
        if value is not None:
            self._tensors.setdefault(node.outputs[0], value)
        self.constants.update(node.outputs)

    def _improve(self, node: NodeView) -> list[str]:
        """Names of the outputs of which more is known after inference with constants."""
        try:
            types = self.infer(node)
        except InferenceError:
            return []
        return [name for name, type_ in types.items() if self.learn(name, type_)]

    def infer(self, node: NodeView) -> dict[str, TypeProto]:
        """Types of the outputs of a node by what is known of its operands, values included.

        Raises:
            InferenceError: the node contradicts itself or its operands.
        """
        names = [name for name in (*node.inputs, *node.captures) if name]
        found = {name: self.type_of(name) for name in names}
        types = {name: type_ for name, type_ in found.items() if type_ is not None}
        if node.domain:
            return {}
        return infer_node(node.proto, self.opset, types, dict(self._small_values(names)))

    def _small_values(self, names: list[str]) -> Iterator[tuple[str, TensorProto]]:
        for name in self.constants.intersection(names):
            size = elements(self.dims(name))
            if size is not None and size <= _MOST_GIVEN:
                with suppress(UndeterminedError):
                    yield name, numpy_helper.from_array(self.value(name), name)

    def within(self, graph: onnx.GraphProto) -> ModelView:
        """View of a control-flow body of this graph."""
        return ModelView(Analysed(graph, self.opsets, self.sound, outer=self))

    def defines(self, name: str) -> bool:
        """Whether something gives the name a value, here or in a graph around."""
        return name in self._written or name in self._captured

    @cached_property
    def _written(self) -> set[str]:
        graph_inputs = (v.name for v in self.graph.input)
        made = (name for node in self.nodes for name in node.outputs)
        return {*self._tensors, *graph_inputs, *made}

    @cached_property
    def inputs(self) -> list[str]:
        """Graph inputs that are fed at run time (old models repeat initializers as inputs)."""
        return [v.name for v in self.graph.input if v.name not in self._tensors]

    @cached_property
    def outputs(self) -> set[str]:
        """Names of the graph outputs."""
        return {v.name for v in self.graph.output}

    @cached_property
    def places(self) -> dict[int, int]:
        """Place of every node by ``id``, folded nodes not counted."""
        kept = (node for node in self.nodes if not node.is_folded)
        return {id(node): place for place, node in enumerate(kept)}

    @cached_property
    def unfolded(self) -> list[NodeView]:
        """The nodes that are not folded, in order: ``places`` counts them."""
        return [node for node in self.nodes if not node.is_folded]

    @cached_property
    def names(self) -> Counter[str]:
        """How many nodes have each name."""
        return Counter(node.proto.name for node in self.nodes)

    @cached_property
    def producers(self) -> dict[str, NodeView]:
        """The node that writes each tensor."""
        return {name: node for node in self.nodes for name in node.outputs}

    @cached_property
    def consumers(self) -> dict[str, list[NodeView]]:
        """The nodes that read each tensor, be it in a body."""
        found: dict[str, list[NodeView]] = defaultdict(list)
        for node in self.nodes:
            for name in (*node.inputs, *node.captures):
                found[name].append(node)
        return dict(found)

    @cached_property
    def invalid(self) -> list[str]:
        """Node and reason for everything that breaks the ONNX specification."""
        reasons = ((node.name, node.invalid) for node in self.nodes)
        return [f"{name}: {reason}" for name, reason in reasons if reason]

    def value(self, name: str) -> Array:
        """Array of an initializer, or of a small constant that is computed from others.

        Raises:
            UndeterminedError: it depends on the inputs, is too large, or lies outside the file.
        """
        tensor = self._tensors.get(name)
        if tensor is None:
            if self.outer is not None and name in self._captured:
                return self.outer.value(name)
            return self._folder.value(name)
        return dense(tensor)
