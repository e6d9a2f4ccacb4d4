"""Models of ten lines as ONNX text, and a pass over one with the checks that every pass owes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper

from avatar_export.passes.base import STAMP, Pass
from avatar_export.passes.goal import Goal
from avatar_export.passes.macs import node_macs
from avatar_export.passes.pipeline import TOLERANCE, infer_shapes
from avatar_export.precision.runner import run_onnx

# At the sizes of these tests a node more would cost more than the multiply-adds saved.
MACS = Goal("multiply-adds", lambda nodes: sum(node_macs(node) for node in nodes))


def parsed(body: str, opset: int = 13, ir_version: int = 8, **weights: object) -> onnx.ModelProto:
    """A model from text; ``weights`` become initializers, float32 unless they are arrays."""
    header = f'<ir_version: {ir_version}, opset_import: ["": {opset}, "custom": 1]>'
    model = onnx.parser.parse_model(f"{header} {body}")
    for name, numbers in weights.items():
        array = numbers if isinstance(numbers, np.ndarray) else np.float32(numbers)
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return model


def loaded(proto: onnx.ModelProto) -> ir.Model:
    """The model as a pipeline hands it to a pass: shapes inferred."""
    model = ir.from_proto(proto)
    infer_shapes(model)
    return model


def applied(step: Pass, proto: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """Run a pass with its own checks and the full checker of onnx."""
    model = loaded(proto)
    step.requires(model)
    changes = step.apply(model)
    step.ensures(model)
    after = ir.to_proto(model)
    onnx.checker.check_model(after, full_check=True)
    return after, changes


def rewritten(
    step: Pass, proto: onnx.ModelProto, **feeds: np.ndarray
) -> tuple[onnx.ModelProto, list[str]]:
    """As :func:`applied`, and the results are those of the model before."""
    after, changes = applied(step, proto)
    assert_same(proto, after, feeds)
    return after, changes


def assert_same(
    before: onnx.ModelProto, after: onnx.ModelProto, feeds: dict[str, np.ndarray]
) -> None:
    """Same outputs in name, order, type, shape, and in numbers relative to each output's range."""
    expected, found = run_onnx(before, feeds), run_onnx(after, feeds)
    assert list(found) == list(expected)
    for name, reference in expected.items():
        assert found[name].dtype == reference.dtype
        assert found[name].shape == reference.shape
        bound = TOLERANCE * float(np.abs(reference).max(initial=0.0))
        np.testing.assert_allclose(found[name], reference, rtol=0, atol=bound)


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def stamps(model: onnx.ModelProto) -> dict[str, str]:
    """Pass names by node name, of the nodes that have any."""
    found = {}
    for node in model.graph.node:
        found.update((node.name, p.value) for p in node.metadata_props if p.key == STAMP)
    return found


def attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def initializers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def rng(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
