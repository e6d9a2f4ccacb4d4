"""Values of tensors that a converter computes itself: chains of Shape, Gather, Concat and so on.

The operators are those of ``onnx.reference``. Only small results are computed, their size is
bounded before anything is allocated, and each tensor is computed once, when a rule asks for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, SparseTensorProto, TensorProto, ValueInfoProto, numpy_helper

from avatar_export.whitelist.model.inference import infer_node
from avatar_export.whitelist.model.schema import opset_in_force
from avatar_export.whitelist.model.types import UndeterminedError, elements, named_dims

if TYPE_CHECKING:
    from onnx.reference import ReferenceEvaluator

    from avatar_export.whitelist.model.node import NodeView
    from avatar_export.whitelist.view import ModelView

Array = NDArray[np.generic]
_MOST = 65_536  # elements of one tensor
_MOST_IN_ALL = 1 << 22  # elements computed for one model
# Cheap in time as well: linear in what goes in and out, but for MatMul of bounded operands.
_CHEAP = """
    Abs Add And ArgMax ArgMin Cast CastLike Ceil Clip Concat ConstantOfShape Cos CumSum Div Equal
    Exp Expand Flatten Floor Gather GatherND Greater GreaterOrEqual Identity IsInf IsNaN Less
    LessOrEqual Log MatMul Max Min Mod Mul Neg Not Or Pad Pow Range Reciprocal ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum Relu Reshape Round ScatterND Sigmoid Sign Sin Slice Split Sqrt
    Squeeze Sub Tanh Tile Transpose Unsqueeze Where Xor
"""
_OPERATORS = frozenset(_CHEAP.split())
# What these write depends on the values they read; other results are no larger than the product
# or the sum of their operands.
_SIZED_BY_VALUE = ("ConstantOfShape", "Expand", "Pad", "Range", "Tile")
_RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomUniform")  # and their -Like forms
_CONSTANT_FORMS = (
    "value_float",
    "value_floats",
    "value_int",
    "value_ints",
    "value_string",
    "value_strings",
)


class Folder:
    """Computes constants of one graph, lazily and within bounds."""

    def __init__(self, model: ModelView) -> None:
        self._model = model
        self._writers: dict[str, NodeView] = {}
        self._known: dict[str, Array | str] = {}
        self._left = _MOST_IN_ALL

    def offer(self, node: NodeView) -> bool:
        """Whether the results are constant to a converter; they can be asked for from then on."""
        if not self._is_foldable(node):
            return False
        for name in node.outputs:
            if name not in self._model.constants:  # an initializer of that name is the value
                self._writers.setdefault(name, node)
        return True

    def _is_foldable(self, node: NodeView) -> bool:
        # A Shape of a fixed shape is a constant to the converter, so is what is made of it.
        if node.operator in ("Shape", "Size") and node.has(0):
            return not node.domain and self._model.is_static(node.inputs[0])
        constants = self._model.constants
        if not all(name in constants for name in node.inputs if name):
            return False
        return not node.domain and not node.operator.startswith(_RANDOM) and not node.captures

    def value(self, name: str) -> Array:
        """Array of a computed constant.

        Raises:
            UndeterminedError: it is not constant, is too large, or has no cheap computation.
        """
        pending = [name]
        while pending:
            missing = self._missing(pending[-1])
            if missing:
                pending += missing
            else:
                self._compute(pending.pop())
        found = self._known.get(name, f"the value of {name} is not in the model")
        if isinstance(found, str):
            raise UndeterminedError(found)
        return found

    def _missing(self, name: str) -> list[str]:
        """Operands that must be computed first. Writers come in order, so there is no circle."""
        writer = self._writers.get(name)
        if writer is None or name in self._known or writer.operator in ("Shape", "Size"):
            return []
        return [n for n in writer.inputs if n in self._writers and n not in self._known]

    def _compute(self, name: str) -> None:
        writer = self._writers.get(name)
        if writer is None or name in self._known:
            return
        try:
            results: Sequence[Array | str] = self._results(writer)
        except UndeterminedError as error:
            results = [str(error)] * len(writer.proto.output)
        except Exception:  # the evaluator raises any type on operands that do not fit
            results = [f"{name} cannot be computed"] * len(writer.proto.output)
        self._known |= dict(zip(writer.proto.output, results, strict=False))

    def _results(self, node: NodeView) -> list[Array]:
        if node.operator in ("Shape", "Size"):
            return [_of_shape(node)]
        if node.operator not in _OPERATORS:
            raise UndeterminedError(
                f"the value of {node.outputs[0]} is computed by {node.operator}"
            )
        operands = [self._operand(name) if name else None for name in node.inputs]
        self._left -= self._bound(node, operands)
        if self._left < 0:
            raise UndeterminedError(f"{node.outputs[0]} is one of too many large constants")
        return evaluate(node.proto, self._model.opset, operands)

    def _operand(self, name: str) -> Array:
        size = elements(self._model.dims(name))
        if name not in self._known and (size is None or size > _MOST):
            raise UndeterminedError(f"{name} is too large to compute with")
        return self._model.value(name)

    def _bound(self, node: NodeView, operands: list[Array | None]) -> int:
        """Most elements that the node can write. Raises ``UndeterminedError`` beyond the limit."""
        sizes = [operand.size for operand in operands if operand is not None]
        bound: int | None = max(prod(sizes), sum(sizes))
        if node.operator in _SIZED_BY_VALUE or 0 in sizes or prod(sizes) > _MOST:
            bound = self._inferred_bound(node, operands)
        if bound is None or bound > _MOST:
            raise UndeterminedError(f"{node.outputs[0]} is too large to compute")
        return bound

    def _inferred_bound(self, node: NodeView, operands: list[Array | None]) -> int | None:
        pairs = list(zip(node.inputs, operands, strict=True))
        values = {name: numpy_helper.from_array(a, name) for name, a in pairs if a is not None}
        types = {
            name: onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
            for name, tensor in values.items()
        }
        inferred = infer_node(node.proto, self._model.opset, types, values)
        sizes = [elements(named_dims(type_)) for type_ in inferred.values()]
        whole = [size for size in sizes if size is not None]
        return sum(whole) if sizes and len(whole) == len(sizes) else None


def _of_shape(node: NodeView) -> Array:
    """Result of Shape or Size."""
    dims = np.array(node.shape(0), np.int64)
    if node.operator == "Size":
        return np.array(dims.prod(), np.int64)
    start, end = node.attribute("start"), node.attribute("end")
    return dims[start if isinstance(start, int) else 0 : end if isinstance(end, int) else None]


def evaluate(node: NodeProto, opset: int, operands: list[Array | None]) -> list[Array]:
    """Results of one operator. Raises whatever the evaluator does on operands that do not fit."""
    plain = NodeProto(op_type=node.op_type, attribute=node.attribute)
    plain.input.extend("" if a is None else f"i{k}" for k, a in enumerate(operands))
    plain.output.extend(f"o{k}" for k in range(len(node.output)))
    feeds = {name: a for name, a in zip(plain.input, operands, strict=True) if a is not None}
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        results = _evaluator(plain.SerializeToString(), opset).run(None, feeds)
    return [np.asarray(result) for result in results]


@lru_cache(maxsize=256)
def _evaluator(node: bytes, opset: int) -> ReferenceEvaluator:
    """Evaluator of one node; loops repeat the same few nodes. Imported when first needed."""
    from onnx.reference import ReferenceEvaluator

    proto = NodeProto.FromString(node)
    graph = GraphProto(name="one node", node=[proto])
    graph.input.extend(ValueInfoProto(name=name) for name in proto.input if name)
    graph.output.extend(ValueInfoProto(name=name) for name in proto.output)
    return ReferenceEvaluator(graph, opsets={"": opset_in_force(opset)})


def constant_value(node: NodeProto) -> TensorProto | SparseTensorProto | None:
    """What a Constant node holds; None when it holds nothing that is known."""
    for attribute in node.attribute:
        if attribute.HasField("t") or attribute.HasField("sparse_tensor"):
            whole: TensorProto | SparseTensorProto = attribute.t
            return whole if attribute.HasField("t") else attribute.sparse_tensor
        if attribute.name in _CONSTANT_FORMS:
            value = np.array(onnx.helper.get_attribute_value(attribute))
            narrow = {"f": np.float32, "i": np.int64, "S": np.object_}.get(value.dtype.kind)
            return numpy_helper.from_array(value.astype(narrow)) if narrow else None
    return None


def stored(tensor: TensorProto | SparseTensorProto) -> TensorProto:
    """The tensor itself, or the values of a sparse one: it has name and element type."""
    return tensor if isinstance(tensor, TensorProto) else tensor.values


def dense(tensor: TensorProto | SparseTensorProto) -> Array:
    """Array of a stored tensor.

    Raises:
        UndeterminedError: it lies outside the model file, is sparse and large, or is damaged.
    """
    name, sparse = stored(tensor).name, isinstance(tensor, SparseTensorProto)
    if stored(tensor).data_location == TensorProto.EXTERNAL:
        raise UndeterminedError(f"the value of {name} is not in the model")
    if sparse and prod(tensor.dims) > _MOST:
        raise UndeterminedError(f"{name} is a large sparse tensor")
    try:
        if isinstance(tensor, TensorProto):
            return numpy_helper.to_array(tensor)
        return _scattered(tensor)
    except Exception as error:  # onnx raises any type on damaged tensors
        raise UndeterminedError(f"the data of {name} does not fit its shape") from error


def _scattered(tensor: SparseTensorProto) -> Array:
    dims, values = tuple(tensor.dims), numpy_helper.to_array(tensor.values)
    at, array = numpy_helper.to_array(tensor.indices), np.zeros(dims, values.dtype)
    array[tuple(at.T) if at.ndim == 2 else np.unravel_index(at, dims)] = values
    return array
