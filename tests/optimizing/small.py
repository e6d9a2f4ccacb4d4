"""Models of a few nodes to optimise, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from tests.passes.models import parsed

UPSAMPLED = """up (float[1,8,16,16] x) => (float[1,4,32,32] y)
    <float[4] scales = {1.0, 1.0, 2.0, 2.0}>
    {
        [up] u = Resize <coordinate_transformation_mode = "asymmetric", mode = "nearest",
            nearest_mode = "floor"> (x, , scales)
        [conv] c = Conv <pads = [1, 1, 1, 1]> (u, weight, bias)
        [act] y = Relu (c)
    }
"""


def upsampled(body: str = UPSAMPLED, opset: int = 16) -> onnx.ModelProto:
    """Nearest upsampling before a 3x3 convolution from 8 to 4 channels."""
    numbers = np.random.default_rng(1)
    weight = numbers.standard_normal((4, 8, 3, 3)).astype(np.float32)
    return parsed(body, opset, weight=weight, bias=numbers.standard_normal(4).astype(np.float32))


def saved(path: Path, model: onnx.ModelProto | str) -> Path:
    """The path, with a model or the text of one in it."""
    proto = parsed(model, 16) if isinstance(model, str) else model
    path.write_bytes(proto.SerializeToString())
    return path


def operators(path: Path) -> list[str]:
    """Operators of the main graph of a file, in order."""
    return [node.op_type for node in onnx.load(path).graph.node]
