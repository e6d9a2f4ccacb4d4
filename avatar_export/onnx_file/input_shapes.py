"""Shapes that the user gives for inputs: ``--input NAME:1,3,256,256``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from avatar_export.errors import UserError
from avatar_export.onnx_file.quoting import quoted
from avatar_export.onnx_file.soundness import messages

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]
LARGEST_DIMENSION = 2**31 - 1


def parse_input(text: str) -> tuple[str, Shape]:
    """(name, shape) of an option ``NAME:1,3,256,256``; the name may itself hold colons.

    Raises:
        UserError: it is written otherwise.
    """
    name, _, dims = text.rpartition(":")
    if not name or not re.fullmatch(r"[0-9]{1,10}(,[0-9]{1,10})*", dims):
        raise UserError(f"--input {quoted(text)} is no shape", "write NAME:1,3,256,256")
    shape = tuple(int(dim) for dim in dims.split(","))
    _require_positive(name, shape)
    return name, shape


def bind(model: onnx.ModelProto, shapes: Mapping[str, Shape]) -> None:
    """Give graph inputs their shapes, and each symbolic dimension its size, in place.

    Raises:
        UserError: an input is unknown, is no tensor, or is declared otherwise; or one symbolic
            dimension is given two sizes.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in stored}
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        _require_positive(name, shape)
        if name not in inputs:
            known = ", ".join(quoted(other) for other in inputs) or "none"
            raise UserError(f"the model has no input {quoted(name)}", f"its inputs: {known}")
        for symbol, size in _bind_input(inputs[name], shape).items():
            if sizes.setdefault(symbol, size) != size:
                reason = f"dimension {quoted(symbol)} is given as {sizes[symbol]} and as {size}"
                raise UserError(reason, "inputs share it, so it has one size")
    if sizes:
        _resolve(model, sizes)


def _require_positive(name: str, shape: Shape) -> None:
    if not all(1 <= dim <= LARGEST_DIMENSION for dim in shape):
        raise UserError(f"input {quoted(name)}: dimensions are 1 to {LARGEST_DIMENSION}")


def _bind_input(value: onnx.ValueInfoProto, shape: Shape) -> dict[str, int]:
    """Set the dimensions of an input that are not fixed; the sizes of its symbolic ones."""
    if not value.type.HasField("tensor_type"):
        raise UserError(f"input {quoted(value.name)} is no tensor, it has no shape")
    tensor = value.type.tensor_type
    declared = tensor.shape.dim
    if not tensor.HasField("shape"):
        declared.extend(type(tensor.shape).Dimension() for _ in shape)
    if len(declared) != len(shape):
        raise UserError(f"input {quoted(value.name)} has {len(declared)} axes, not {len(shape)}")
    sizes: dict[str, int] = {}
    for axis, (dim, size) in enumerate(zip(declared, shape, strict=True)):
        # Exporters write 0 or -1 for a dimension that they do not know.
        if dim.dim_value > 0 and dim.dim_value != size:
            reason = f"axis {axis} of input {quoted(value.name)} is fixed at {dim.dim_value}"
            raise UserError(f"{reason}, not {size}")
        if dim.dim_param and sizes.setdefault(dim.dim_param, size) != size:
            reason = f"input {quoted(value.name)} has one size for {quoted(dim.dim_param)}"
            raise UserError(f"{reason}, not {sizes[dim.dim_param]} and {size}")
        dim.dim_value = size
    return sizes


def _resolve(model: onnx.ModelProto, sizes: Mapping[str, int]) -> None:
    for message, _ in messages(model):
        if message.DESCRIPTOR.name == "Dimension" and message.dim_param in sizes:
            message.dim_value = sizes[message.dim_param]
