"""From a path to a model whose structure can be relied on; weights in other files stay there."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from avatar_export.errors import ModelError, UserError
from avatar_export.onnx_file import external, functions, input_shapes, names, operands, soundness
from avatar_export.onnx_file.lookalikes import explain

if TYPE_CHECKING:
    import onnx

LARGEST = 2**31 - 1
"""Bytes of the largest message that protobuf reads (Protocol Buffers documentation, limits)."""


def read_model(path: Path, inputs: Mapping[str, tuple[int, ...]] | None = None) -> onnx.ModelProto:
    """Read a model of any size and make sure of its structure.

    Tensors in external files stay there, but for small ones (the shapes and axes that a rule may
    ask for), which are moved into the model. Time and memory are bounded by a multiple of the size
    of the file, whatever it holds.

    Args:
        path: an .onnx file.
        inputs: shapes of graph inputs by name; they take the place of dimensions that are not
            fixed, and of symbolic ones of the same name wherever they stand.

    Raises:
        UserError: the file cannot be read, or a shape does not fit its input.
        ModelError: the file is damaged, hostile, or no ONNX model.
    """
    model = _parsed(path, _content(path))
    try:
        tensors = soundness.require_sound(model)
        functions.require_finite(model)
        names.require_resolved(model)
        operands.require_operands(model)
        external.move_small_tensors(tensors, path.parent)
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}", error.hint) from error
    input_shapes.bind(model, inputs or {})
    return model


def _content(path: Path) -> bytes:
    """All of a regular file; a pipe or device is not even opened, for that may wait forever."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{path} is a folder", "name the .onnx file in it")
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path} is no regular file", "copy the model into a file first")
        if status.st_size > LARGEST:
            raise ModelError(
                f"{path} is larger than 2 GB, which protobuf cannot read",
                "save it with external data: onnx.save(model, path, save_as_external_data=True)",
            )
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"cannot read {path}: {reason}") from error
    if not content:
        raise ModelError(f"{path} is no ONNX model: the file is empty")
    return content


def _parsed(path: Path, content: bytes) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise ModelError(f"{path} is no ONNX model: {explain(content)}") from error
    # Garbage often parses: as a message of fields that ONNX does not know.
    if not model.HasField("graph"):
        raise ModelError(f"{path} is no ONNX model: {explain(content)}")
    if not model.graph.node:
        raise ModelError(f"{path} holds no ONNX node")
    return model
