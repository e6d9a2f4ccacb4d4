"""Models of ten lines as ONNX text, and a conversion that compares before and after."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from avatar_export.precision.fp16 import Fp16Report, to_fp16
from avatar_export.precision.runner import run_onnx

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def parsed(body: str, opset: int = 13, ir_version: int = 8) -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f'<ir_version: {ir_version}, opset_import: ["": {opset}]> {body}'
    )


def with_weights(model: onnx.ModelProto, **weights: np.ndarray) -> onnx.ModelProto:
    for name, array in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(np.float32(array), name))
    return model


def converted(
    model: onnx.ModelProto, tolerance: float = 2e-3, **feeds: np.ndarray
) -> tuple[onnx.ModelProto, Fp16Report]:
    """Convert, compare the outputs of both models, return the new model and the report."""
    half, report = to_fp16(model)
    before, after = run_onnx(model, feeds), run_onnx(half, feeds)
    assert before.keys() == after.keys()
    for name, expected in before.items():
        assert after[name].dtype == expected.dtype
        np.testing.assert_allclose(after[name], expected, rtol=tolerance, atol=tolerance)
    return half, report


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every named tensor of the main graph."""
    graph = model.graph
    infos = [*graph.input, *graph.value_info, *graph.output]
    found = {info.name: info.type.tensor_type.elem_type for info in infos}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def rng(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)
