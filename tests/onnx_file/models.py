"""Small models as text, and ways to read what was done to them."""

from __future__ import annotations

from pathlib import Path

import onnx


def parsed(body: str, opset: int = 13) -> onnx.ModelProto:
    """Model of a graph ``body``, and of functions behind it."""
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {body}')


def relu() -> onnx.ModelProto:
    """The least that is a model."""
    return parsed("g (float[2,3] x) => (float[2,3] y) { y = Relu(x) }")


def written(folder: Path, content: onnx.ModelProto | bytes) -> Path:
    """Path of model.onnx in the folder, with a model or other bytes in it."""
    path = folder / "model.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    return path
