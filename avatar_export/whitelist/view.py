"""Read-only views of a model for the rules: static shapes, data types, constants, neighbours."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cached_property

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, numpy_helper
from onnx.inliner import inline_local_functions

from avatar_export.errors import ModelError

# Names of the QNN op definitions. int64 and double stand as their narrow kin because that is what
# lands in the DLC (snpe-onnx-to-dlc 2.25.0.240728 experiment: int64 -> Int_32, double -> Float_32).
DTYPE_NAMES: dict[int, str] = {
    TensorProto.FLOAT: "f32",
    TensorProto.DOUBLE: "f32",
    TensorProto.FLOAT16: "f16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.INT32: "i32",
    TensorProto.INT64: "i32",
    TensorProto.UINT32: "u32",
    TensorProto.INT8: "i8",
    TensorProto.UINT8: "u8",
    TensorProto.BOOL: "bool8",
}
_SCHEMA_DOMAINS = ("", "ai.onnx")
Shape = tuple[int, ...]


class UndeterminedError(Exception):
    """A rule asks for a shape, type or value that the model does not fix."""


class ModelView:
    """Names of one graph resolved to shapes, types, constants and neighbours.

    Args:
        model: any valid model; local functions are inlined and shapes inferred here, on a copy.

    Raises:
        ModelError: the protobuf cannot be analysed at all.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = _inferred(model).graph
        self.opset = _opset(model)
        self.nodes = [NodeView(self, node, i) for i, node in enumerate(self.graph.node)]
        self._values = {
            v.name: v.type.tensor_type
            for v in (*self.graph.input, *self.graph.value_info, *self.graph.output)
        }
        self._tensors = {t.name: t for t in self.graph.initializer}
        self.constants = self._find_constants()

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
        """The nodes that read each tensor."""
        found: dict[str, list[NodeView]] = defaultdict(list)
        for node in self.nodes:
            for name in node.inputs:
                found[name].append(node)
        return found

    def dims(self, name: str) -> tuple[int | None, ...] | None:
        """Shape with None for a dimension that is not fixed; None when the rank is unknown."""
        if name in self._tensors:
            return tuple(self._tensors[name].dims)
        value = self._values.get(name)
        if value is None or not value.HasField("shape"):
            return None
        return tuple(d.dim_value if d.HasField("dim_value") else None for d in value.shape.dim)

    def shape(self, name: str) -> Shape:
        """Static shape.

        Raises:
            UndeterminedError: the rank or a dimension is not fixed.
        """
        dims = self.dims(name)
        if dims is None or any(d is None for d in dims):
            raise UndeterminedError(f"the shape of {name} is not fixed")
        return tuple(d for d in dims if d is not None)

    def is_static(self, *names: str) -> bool:
        """Whether every dimension of the tensors is fixed; names may be empty."""
        every = [self.dims(name) for name in names if name]
        return all(dims is not None and None not in dims for dims in every)

    def dtype(self, name: str) -> str:
        """Element type by its QNN name, such as ``f32``; the ONNX name where QNN has none.

        Raises:
            UndeterminedError: neither the model nor shape inference knows it.
        """
        tensor, value = self._tensors.get(name), self._values.get(name)
        code = tensor.data_type if tensor is not None else value.elem_type if value else 0
        if not code:
            raise UndeterminedError(f"the data type of {name} is unknown")
        return DTYPE_NAMES.get(code) or str(TensorProto.DataType.Name(code)).lower()

    def value(self, name: str) -> NDArray[np.generic]:
        """Array behind an initializer or Constant.

        Raises:
            UndeterminedError: the tensor is computed, or lies outside the model file.
        """
        tensor = self._tensors.get(name)
        if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
            raise UndeterminedError(f"the value of {name} is not in the model")
        return numpy_helper.to_array(tensor)

    def _find_constants(self) -> set[str]:
        """Names that the converter can fold: initializers, and all that is made of them alone."""
        constants = set(self._tensors)
        for node in self.nodes:
            if node.operator == "Constant":
                self._tensors |= _constant_tensor(node.proto)
            # A Shape of a fixed shape is a constant to the converter, so is what is made of it.
            static = node.operator == "Shape" and node.has(0) and self.is_static(node.inputs[0])
            if static or all(name in constants for name in node.inputs if name):
                constants.update(node.outputs)
        return constants


class NodeView:
    """One node, with its inputs and outputs resolved through the model."""

    def __init__(self, model: ModelView, node: onnx.NodeProto, index: int) -> None:
        self.model = model
        self.proto = node
        self.operator = node.op_type
        self.name = node.name or f"{node.op_type}_{index}"
        self.inputs = list(node.input)
        self.outputs = [name for name in node.output if name]
        self._attributes = {a.name: a for a in node.attribute}

    @cached_property
    def schema(self) -> onnx.defs.OpSchema | None:
        """Operator definition in force at the model's opset; None for a foreign operator."""
        if self.is_foreign:
            return None
        try:
            return onnx.defs.get_schema(self.operator, self.model.opset, "")
        except onnx.defs.SchemaError:
            return None

    @property
    def is_foreign(self) -> bool:
        """Whether the operator lies outside the ONNX default domain."""
        return self.proto.domain not in _SCHEMA_DOMAINS

    @property
    def is_folded(self) -> bool:
        """Whether the converter computes the node itself, so that no runtime sees it."""
        return all(name in self.model.constants for name in self.outputs)

    def attribute(self, name: str) -> object:
        """Value of an attribute, or its default in the schema; None when there is neither."""
        given = self._attributes.get(name)
        if given is not None:
            return onnx.helper.get_attribute_value(given)
        known = self.schema.attributes.get(name) if self.schema else None
        if known is None or known.default_value.type == AttributeProto.UNDEFINED:
            return None
        return onnx.helper.get_attribute_value(known.default_value)

    def ints(self, name: str) -> list[int] | None:
        """An attribute that is a list of integers; None when it is absent."""
        value = self.attribute(name)
        return [int(v) for v in value] if isinstance(value, (list, tuple)) else None

    def has(self, index: int) -> bool:
        """Whether the input is there (an optional one may be absent or empty)."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def is_constant(self, index: int) -> bool:
        """Whether the input is known when the model is converted."""
        return self.has(index) and self.inputs[index] in self.model.constants

    def shape(self, index: int = 0) -> Shape:
        """Static shape of an input. Raises ``UndeterminedError``."""
        return self.model.shape(self.inputs[index])

    def rank(self, index: int = 0) -> int:
        """Rank of an input. Raises ``UndeterminedError``."""
        dims = self.model.dims(self.inputs[index])
        if dims is None:
            raise UndeterminedError(f"the rank of {self.inputs[index]} is unknown")
        return len(dims)

    def output_shape(self, index: int = 0) -> Shape:
        """Static shape of an output. Raises ``UndeterminedError``."""
        return self.model.shape(self.outputs[index])

    def operands(self) -> list[int]:
        """Indices of the inputs that are there."""
        return [i for i in range(len(self.inputs)) if self.has(i)]

    def producer(self, index: int) -> str:
        """Operator that writes an input; empty for graph inputs and initializers."""
        node = self.model.producers.get(self.inputs[index])
        return node.operator if node else ""

    def feeds(self) -> list[str]:
        """Operators that read any output of the node."""
        return [n.operator for name in self.outputs for n in self.model.consumers.get(name, ())]

    @property
    def origin(self) -> str:
        """PyTorch module path recorded by the exporter; empty when there is none.

        torch.onnx writes scope lists into metadata (dynamo) or paths into node names (legacy).
        """
        for entry in self.proto.metadata_props:
            if entry.key == "pkg.torch.onnx.name_scopes":
                scopes = [s.strip(" '\"[]") for s in entry.value.split(",")]
                return next((s for s in reversed(scopes[:-1]) if s), "")
        return ".".join(self.name.split("/")[1:-1]) if self.name.startswith("/") else ""


def _opset(model: onnx.ModelProto) -> int:
    for entry in model.opset_import:
        if entry.domain in _SCHEMA_DOMAINS:
            return int(entry.version)
    return 1


def _constant_tensor(node: onnx.NodeProto) -> dict[str, TensorProto]:
    """Tensor of a Constant node by its output name; empty for the sparse and string forms."""
    for attribute in node.attribute:
        if attribute.name == "value":
            return {node.output[0]: attribute.t}
        if attribute.name in ("value_float", "value_floats", "value_int", "value_ints"):
            value = np.array(onnx.helper.get_attribute_value(attribute))
            narrow = value.astype(np.float32 if value.dtype.kind == "f" else np.int64)
            return {node.output[0]: numpy_helper.from_array(narrow)}
    return {}


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy with local functions inlined and every shape that ONNX can infer."""
    try:
        if model.functions:
            model = inline_local_functions(model)
        return onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise ModelError(f"shapes cannot be inferred: {error}") from error
