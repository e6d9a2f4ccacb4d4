"""From a model in memory to a file, whole or not at all; weights that lie in other files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avatar_export.errors import ModelError
from avatar_export.files import staged_folder, write_atomically
from avatar_export.onnx_file.soundness import messages

if TYPE_CHECKING:
    import onnx

_WEIGHTS_AT_MOST = 2**31 - 2**26  # of a message of 2 GB; the rest is for the graph


def write_model(path: Path, model: onnx.ModelProto) -> None:
    """Write an ONNX file, whole or not at all; beyond 2 GB its weights go into ``<name>.data``.

    Raises:
        UserError: the folder cannot be written.
    """
    import onnx

    # Not ByteSize(), which serialises, and fails beyond the limit.
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if weights <= _WEIGHTS_AT_MOST:
        write_atomically(path, model.SerializeToString())
        return
    with staged_folder(path.parent) as folder:
        onnx.save_model(
            model, folder / path.name, save_as_external_data=True, location=data_file(path).name
        )


def data_file(path: Path) -> Path:
    """Where the weights of a large model go that is written to ``path``."""
    return path.parent / f"{path.name}.data"


def weight_files(model: onnx.ModelProto, folder: Path) -> set[Path]:
    """Files that hold tensors of the model."""
    tensors = (part for part, _ in messages(model) if part.DESCRIPTOR.name == "TensorProto")
    entries = (entry for tensor in tensors for entry in tensor.external_data)
    return {folder / entry.value for entry in entries if entry.key == "location"}


def load_weights(model: onnx.ModelProto, folder: Path) -> None:
    """Move the tensors that lie in other files into the model, which is to live elsewhere.

    Raises:
        ModelError: such a file is missing, too short, or outside the folder.
    """
    import onnx

    try:
        onnx.load_external_data_for_model(model, str(folder))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(f"cannot read the weights of the model: {error}") from error
