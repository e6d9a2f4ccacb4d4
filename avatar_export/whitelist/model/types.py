"""Shapes and element types as the rules see them."""

from __future__ import annotations

from math import prod

from onnx import TensorProto, TypeProto

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
Shape = tuple[int, ...]
Dims = tuple[int | None, ...]
NamedDims = tuple[int | str | None, ...]


class UndeterminedError(Exception):
    """A rule asks for a shape, type or value that the model does not fix."""


def dtype_name(code: int) -> str:
    """QNN name of an element type; the ONNX name in lower case where QNN has none."""
    if code in DTYPE_NAMES:
        return DTYPE_NAMES[code]
    known = TensorProto.DataType.DESCRIPTOR.values_by_number.get(code)
    return known.name.lower() if known else f"type {code}"


def elem_type(type_: TypeProto) -> int:
    """Element type of a dense or sparse tensor; 0 for sequences, maps and optional values."""
    form = type_.WhichOneof("value")
    if form == "tensor_type":
        return type_.tensor_type.elem_type
    return type_.sparse_tensor_type.elem_type if form == "sparse_tensor_type" else 0


def named_dims(type_: TypeProto) -> NamedDims | None:
    """Shape with a symbolic dimension by its name, an unknown one as None; None without rank.

    Some exporters write -1 for a dimension that is not fixed.
    """
    form = type_.WhichOneof("value")
    if form not in ("tensor_type", "sparse_tensor_type"):
        return None
    tensor = getattr(type_, form)
    if not tensor.HasField("shape"):
        return None
    return tuple(
        (d.dim_value if d.dim_value >= 0 else None)
        if d.HasField("dim_value")
        else str(d.dim_param) or None  # protobuf gives bytes for what is not UTF-8
        for d in tensor.shape.dim
    )


def tensor_type(elem: int, dims: NamedDims | Dims | None) -> TypeProto:
    """Type of a dense tensor; the shape stays unset when ``dims`` is None."""
    type_ = TypeProto()
    type_.tensor_type.elem_type = elem
    if dims is not None:
        type_.tensor_type.shape.SetInParent()
    for dim in dims or ():
        entry = type_.tensor_type.shape.dim.add()
        if isinstance(dim, int):
            entry.dim_value = dim
        elif dim:
            entry.dim_param = dim
    return type_


def merged(known: TypeProto | None, found: TypeProto) -> TypeProto | None:
    """What both say together, the known one where they differ; None when nothing is new."""
    if known is None or known.WhichOneof("value") is None:
        return found
    old, new = named_dims(known), named_dims(found)
    if new is None or (old is not None and len(old) != len(new)):
        return None
    dims = new if old is None else tuple(map(_more_certain, old, new))
    return None if dims == old else tensor_type(elem_type(known) or elem_type(found), dims)


def _more_certain(old: int | str | None, new: int | str | None) -> int | str | None:
    return new if isinstance(new, int) and not isinstance(old, int) else old


def elements(dims: Dims | NamedDims | None) -> int | None:
    """Number of elements; None when a dimension is not fixed."""
    if dims is None:
        return None
    fixed = [d for d in dims if isinstance(d, int)]
    return prod(fixed) if len(fixed) == len(dims) else None
