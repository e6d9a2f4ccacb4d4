"""Read-only views of a model for the rules: static shapes, data types, constants, neighbours."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import cast

import onnx
from onnx import SparseTensorProto, TensorProto, TypeProto, numpy_helper
from onnx.shape_inference import InferenceError

from avatar_export.errors import ModelError
from avatar_export.whitelist.model.folding import Array, Folder, constant_value, dense, stored
from avatar_export.whitelist.model.inference import Analysed, analyse, infer_node
from avatar_export.whitelist.model.node import NodeView, free_names
from avatar_export.whitelist.model.types import (
    Dims,
    NamedDims,
    Shape,
    UndeterminedError,
    dtype_name,
    elem_type,
    elements,
    merged,
    named_dims,
    tensor_type,
)

__all__ = ["Dims", "ModelView", "NamedDims", "NodeView", "Shape", "UndeterminedError"]

_MOST_GIVEN = 4096  # elements of a constant that shapes may be inferred from


class ModelView:
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

    def __init__(self, source: onnx.ModelProto | Analysed) -> None:
        analysed = source if isinstance(source, Analysed) else analyse(source)
        self.graph = analysed.graph
        self.opsets = analysed.opsets
        self.opset = analysed.opsets[""]
        self.sound = analysed.sound
        self.outer = analysed.outer
        self._collect(analysed)
        try:
            self.nodes = [NodeView(self, node, i) for i, node in enumerate(self.graph.node)]
            "".join(v.name for v in (*self.graph.input, *self.graph.output))
        except TypeError as error:
            raise ModelError("a name in the model is not UTF-8") from error
        self._folder = Folder(self)
        self._walk(analysed.declared)

    def _collect(self, analysed: Analysed) -> None:
        graph = self.graph
        self._tensors: dict[str, TensorProto | SparseTensorProto] = {
            **{t.values.name: t for t in graph.sparse_initializer},
            **{t.name: t for t in graph.initializer},
            **analysed.tensors,
        }
        values = (*graph.input, *graph.value_info, *graph.output)
        self._types: dict[str, TypeProto] = {v.name: v.type for v in values}
        self._dims: dict[str, Dims | None] = {}
        self.constants = set(self._tensors)
        self._captured: set[str] = set()
        if self.outer is not None:
            self._captured.update(filter(self.outer.defines, free_names(graph)))
            self.constants |= self._captured & self.outer.constants

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
            if not self.sound or self.outer or not computed.isdisjoint(node.inputs):
                computed.update(self._improve(node))
            for name in node.outputs:
                if name in declared and self._learn(name, declared[name]):
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
        return [name for name, type_ in types.items() if self._learn(name, type_)]

    def _learn(self, name: str, type_: TypeProto) -> bool:
        """Whether the type says more than is known."""
        better = merged(self._types.get(name), type_)
        if better is not None:
            self._types[name] = better
            self._dims.pop(name, None)
        return better is not None

    def infer(self, node: NodeView) -> dict[str, TypeProto]:
        """Types of the outputs of a node by what is known of its operands, values included.

        Raises:
            InferenceError: the node contradicts itself or its operands.
        """
        names = [name for name in (*node.inputs, *node.captures) if name]
        found = {name: self._type(name) for name in names}
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

    def _type(self, name: str) -> TypeProto | None:
        tensor = self._tensors.get(name)
        if tensor is not None:
            return tensor_type(stored(tensor).data_type, tuple(tensor.dims))
        if name in self._captured and self.outer is not None:
            return self.outer._type(name)
        return self._types.get(name)

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
        return found

    @cached_property
    def invalid(self) -> list[str]:
        """Node and reason for everything that breaks the ONNX specification."""
        reasons = ((node.name, node.invalid) for node in self.nodes)
        return [f"{name}: {reason}" for name, reason in reasons if reason]

    def dims(self, name: str) -> Dims | None:
        """Shape with None for a dimension that is not fixed; None when the rank is unknown."""
        if name not in self._dims:
            named = self.dim_names(name)
            fixed = (d if isinstance(d, int) else None for d in named or ())
            self._dims[name] = None if named is None else tuple(fixed)
        return self._dims[name]

    def dim_names(self, name: str) -> NamedDims | None:
        """Shape with a symbolic dimension by its name; else like ``dims``."""
        tensor = self._tensors.get(name)
        if tensor is not None:
            return tuple(tensor.dims)
        type_ = self._type(name)
        return None if type_ is None else named_dims(type_)

    def shape(self, name: str) -> Shape:
        """Static shape.

        Raises:
            UndeterminedError: the rank or a dimension is not fixed.
        """
        dims = self.dims(name)
        if dims is None or None in dims:
            raise UndeterminedError(f"the shape of {name} is not fixed")
        return cast(Shape, dims)

    def is_static(self, *names: str) -> bool:
        """Whether every dimension of the tensors is fixed; names may be empty."""
        for name in names:
            if name:
                dims = self.dims(name)
                if dims is None or None in dims:
                    return False
        return True

    def dtype(self, name: str) -> str:
        """Element type by its QNN name, such as ``f32``; the ONNX name where QNN has none.

        Raises:
            UndeterminedError: neither the model nor shape inference knows it.
        """
        tensor = self._tensors.get(name)
        if tensor is not None:
            return dtype_name(stored(tensor).data_type)
        type_ = self._type(name)
        code = elem_type(type_) if type_ is not None else 0
        if not code:
            raise UndeterminedError(f"the data type of {name} is unknown")
        return dtype_name(code)

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
