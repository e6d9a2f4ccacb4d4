"""Tensors whose data lies in other files: checked, and brought in where they are small."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from avatar_export.errors import ModelError
from avatar_export.onnx_file.elements import nbytes
from avatar_export.onnx_file.quoting import quoted

if TYPE_CHECKING:
    import onnx

SMALL = 64 * 1024
"""Bytes up to which a tensor is moved into the model."""
ALTOGETHER = 64 * 2**20
"""Bytes that may be moved into one model; many tensors can name the same small file."""


class Extract(NamedTuple):
    """Where the data of a tensor lies; a length of -1 means up to the end of the file."""

    location: str
    offset: int
    length: int


def move_small_tensors(tensors: Iterable[onnx.TensorProto], folder: Path) -> None:
    """Check tensors of external data, and bring those of up to 64 KiB into the model.

    A file that is missing takes only the values away: the tensors stay as they are.

    Raises:
        ModelError: a location leaves the folder, or its file does not hold what the tensor needs.
    """
    sizes: dict[str, int | None] = {}
    allowance = ALTOGETHER
    for tensor in tensors:
        extract, needed = _extract(tensor), nbytes(tensor)
        if extract.location not in sizes:
            sizes[extract.location] = _file_size(folder, extract.location)
        size = sizes[extract.location]
        if size is None:
            continue
        _require_room(tensor, extract, size)
        if needed <= min(SMALL, allowance):
            allowance -= needed
            _move(tensor, folder, extract)


def _extract(tensor: onnx.TensorProto) -> Extract:
    stored = {entry.key: entry.value for entry in tensor.external_data}
    location = stored.get("location", "")
    if not location:
        raise ModelError(f"tensor {quoted(tensor.name)} is external but names no file")
    numbers = [stored.get("offset") or "0", stored.get("length") or "-1"]
    try:
        offset, length = (int(number) for number in numbers)
    except ValueError:
        offset = length = -2
    if offset < 0 or length < -1:
        raise ModelError(f"tensor {quoted(tensor.name)} has a bad offset or length {numbers}")
    return Extract(location, offset, length)


def _file_size(folder: Path, location: str) -> int | None:
    """Bytes of an external file; None when it is missing.

    Raises:
        ModelError: it lies outside the folder, or is no regular file.
    """
    hint = "external data must lie in the folder of the model"
    if PurePosixPath(location).is_absolute() or ".." in Path(location).parts or "\\" in location:
        raise ModelError(f"external data in {quoted(location)} is outside its folder", hint)
    path = folder / location
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ModelError(f"external data in {quoted(location)} links out of its folder", hint)
        status = path.stat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"external data in {quoted(location)} cannot be read") from error
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"external data in {quoted(location)} is no regular file")
    return status.st_size


def _require_room(tensor: onnx.TensorProto, extract: Extract, size: int) -> None:
    needed = nbytes(tensor)
    if extract.length not in (-1, needed):
        raise ModelError(
            f"tensor {quoted(tensor.name)} of shape {list(tensor.dims)} needs {needed} bytes and"
            f" names {extract.length} in {quoted(extract.location)}"
        )
    if extract.offset + needed > size:
        raise ModelError(
            f"tensor {quoted(tensor.name)} needs bytes {extract.offset} to"
            f" {extract.offset + needed} of {quoted(extract.location)}, which has {size}"
        )


def _move(tensor: onnx.TensorProto, folder: Path, extract: Extract) -> None:
    try:
        with (folder / extract.location).open("rb") as stream:
            stream.seek(extract.offset)
            tensor.raw_data = stream.read(nbytes(tensor))
    except OSError as error:
        reason = f"external data in {quoted(extract.location)} cannot be read: {error.strerror}"
        raise ModelError(reason) from error
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
