"""Which tensors of a node may become half: read from the operator's schema, slot by slot.

The facts are ONNX's own (``onnx.defs``): every input and output of an operator has a type
constraint, and slots that share a type variable must share a type.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Sequence

# Attributes that name the element type of an output whose type variable no input binds.
_TYPE_ATTRIBUTES = {
    "Bernoulli": "dtype",
    "BlackmanWindow": "output_datatype",
    "Cast": "to",
    "DequantizeLinear": "output_dtype",
    "EyeLike": "dtype",
    "HammingWindow": "output_datatype",
    "HannWindow": "output_datatype",
    "MelWeightMatrix": "output_datatype",
    "RandomNormal": "dtype",
    "RandomNormalLike": "dtype",
    "RandomUniform": "dtype",
    "RandomUniformLike": "dtype",
    "SequenceEmpty": "dtype",
}

# Their element variable is bound to the sequence's by meaning, though the schema names it apart.
_TIED = {"SequenceInsert"}

# The schema admits half, but the bits of a float32 would mean something else.
_BITWISE = {"BitCast"}

# The schema admits half, but with a reduction ONNX Runtime's CPU provider runs float32 only (seen
# with 1.31), and a running sum in half would lose terms below 1/2048 of it.
_REDUCING = {"ScatterElements", "ScatterND"}

# Operators whose float tensor attribute only makes their output; others compare it with an input.
_FILLED = {"Constant", "ConstantOfShape"}


class Slot(Enum):
    """What the schema says of one float tensor slot.

    ``HALF``: becomes half with the node's data. ``FREE``: admits half, but by a type variable of
    its own (a GridSample grid, a Pow exponent, batch norm statistics from opset 15): it follows
    its value, so that a constant keeps its 32 bits and no cast is needed. ``FLOAT``: float32 only
    (Resize scales, or an operator without half). ``NONE``: not a float tensor, or absent.
    """

    NONE = "none"
    HALF = "half"
    FREE = "free"
    FLOAT = "float"


@dataclass(frozen=True)
class Slots:
    """The slots of one node, with the type variable of each input."""

    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    variables: tuple[str, ...]

    @property
    def is_half(self) -> bool:
        """Whether the node's data can be half."""
        return Slot.HALF in self.inputs or Slot.HALF in self.outputs

    @property
    def has_float(self) -> bool:
        """Whether any slot of the node holds a float32 tensor at all."""
        return any(slot is not Slot.NONE for slot in self.inputs + self.outputs)

    def kept_in_float(self) -> Slots:
        """The same node with all of its float tensors in float32."""

        def keep(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
            return tuple(slot if slot is Slot.NONE else Slot.FLOAT for slot in slots)

        return Slots(keep(self.inputs), keep(self.outputs), self.variables)


@dataclass(frozen=True)
class _Param:
    variable: str
    admits: frozenset[str]
    data: bool


@dataclass(frozen=True)
class _Signature:
    inputs: tuple[_Param, ...]
    outputs: tuple[_Param, ...]


def is_float(value: ir.Value | None) -> bool:
    """Whether a value is a float32 tensor, or a sequence or optional of one."""
    return value is not None and value.dtype == ir.DataType.FLOAT


def label(node: ir.Node) -> str:
    """The name of a node, or of its first output where it has none."""
    return node.name or node.outputs[0].name or ""


def slots_of(node: ir.Node, opset: int) -> Slots:
    """The slots of ``node``; an operator without a schema is float32 only."""
    signature = None if _is_fixed(node) else _signature(node.domain, node.op_type, opset)
    if signature is None:
        keep = Slot.FLOAT
        return Slots(
            tuple(keep if is_float(v) else Slot.NONE for v in node.inputs),
            tuple(keep if is_float(v) else Slot.NONE for v in node.outputs),
            ("",) * len(node.inputs),
        )
    inputs = _params(signature.inputs, node.inputs)
    outputs = _params(signature.outputs, node.outputs)
    return Slots(
        tuple(_slot(v, p) for v, p in zip(node.inputs, inputs, strict=True)),
        tuple(_slot(v, p) for v, p in zip(node.outputs, outputs, strict=True)),
        tuple(param.variable for param in inputs),
    )


def type_attribute(node: ir.Node, opset: int) -> str | None:
    """The attribute that names the element type of the node's output, if it has one."""
    name = _TYPE_ATTRIBUTES.get(node.op_type)
    if name is None or node.domain:
        return None
    return name if name in onnx.defs.get_schema(node.op_type, opset).attributes else None


def half_type(type_: ir.TypeProtocol) -> ir.TypeProtocol:
    """The type with float16 elements in place of float32 ones."""
    if isinstance(type_, ir.SequenceType):
        return ir.SequenceType(half_type(type_.elem_type), denotation=type_.denotation)
    if isinstance(type_, ir.OptionalType):
        return ir.OptionalType(half_type(type_.elem_type), denotation=type_.denotation)
    return type(type_)(ir.DataType.FLOAT16, denotation=type_.denotation)  # type: ignore[call-arg]


def _is_fixed(node: ir.Node) -> bool:
    """Whether the node stays in float32 whatever its schema admits."""
    if node.op_type in _REDUCING:
        reduction = node.attributes.get("reduction")
        return reduction is not None and reduction.as_string() != "none"
    return node.op_type in _BITWISE or _has_tensor_attribute(node)


def _has_tensor_attribute(node: ir.Node) -> bool:
    tensors = [a for a in node.attributes.values() if a.type is ir.AttributeType.TENSOR]
    return node.op_type not in _FILLED and any(
        attribute.as_tensor().dtype == ir.DataType.FLOAT for attribute in tensors
    )


def _slot(value: ir.Value | None, param: _Param) -> Slot:
    if value is None or not is_float(value):
        return Slot.NONE
    if not _admits_half(param, value):
        return Slot.FLOAT
    return Slot.HALF if param.data else Slot.FREE


def _admits_half(param: _Param, value: ir.Value) -> bool:
    assert value.type is not None
    return _spelled(value.type) in param.admits


def _spelled(type_: ir.TypeProtocol) -> str:
    """A type as schemas spell it, with float16 elements: ``seq(tensor(float16))``."""
    if isinstance(type_, ir.SequenceType):
        return f"seq({_spelled(type_.elem_type)})"
    if isinstance(type_, ir.OptionalType):
        return f"optional({_spelled(type_.elem_type)})"
    return "tensor(float16)" if isinstance(type_, ir.TensorType) else "sparse_tensor(float16)"


def _params(params: tuple[_Param, ...], values: Sequence[ir.Value | None]) -> list[_Param]:
    """One parameter a value: the last one of a schema may be variadic."""
    return [params[min(i, len(params) - 1)] for i in range(len(values))]


@lru_cache(maxsize=1024)
def _signature(domain: str, op_type: str, opset: int) -> _Signature | None:
    try:
        schema = onnx.defs.get_schema(op_type, opset, domain)
    except onnx.defs.SchemaError:
        return None
    # A variable carries data when an output has it, or the first input.
    data = {p.type_str for p in [*schema.outputs, *schema.inputs[:1]]}
    if op_type in _TIED:
        data |= {p.type_str for p in schema.inputs}
    admitted = {c.type_param_str: frozenset(c.allowed_type_strs) for c in schema.type_constraints}

    def param(formal: onnx.defs.OpSchema.FormalParameter) -> _Param:
        return _Param(
            variable=formal.type_str,
            admits=admitted.get(formal.type_str, frozenset({formal.type_str})),
            data=formal.type_str in data or not formal.is_homogeneous,
        )

    return _Signature(tuple(map(param, schema.inputs)), tuple(map(param, schema.outputs)))
