"""Small models as text, and ways to read what was done to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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


def with_weight_file(folder: Path, floats: int = 100_000) -> Path:
    """Path of m.onnx in the folder, whose one weight lies in w.data next to it."""
    model = parsed("g (float[4] x) => (float[1] y) { y = ReduceMax <keepdims = 1> (x) }")
    weight = onnx.numpy_helper.from_array(np.arange(floats, dtype=np.float32), "w")
    model.graph.initializer.append(weight)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, folder / "m.onnx", save_as_external_data=True, location="w.data")
    return folder / "m.onnx"
