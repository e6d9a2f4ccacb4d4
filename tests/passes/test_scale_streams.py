"""A residual stream beyond half precision is carried at a smaller scale, exactly."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from avatar_export.passes.base import STAMP
from avatar_export.passes.pipeline import infer_shapes
from avatar_export.passes.scale_streams import LIMIT, TARGET, ScaleStreams
from avatar_export.precision.fp16 import to_fp16
from avatar_export.precision.ranges import largest_values
from avatar_export.precision.runner import run_onnx

# A stem writes the stream, a block with an upsampled skip adds to it, a norm and a head read it.
STREAM = """
<ir_version: 8, opset_import: ["": 13]>
net (float[1,4,6,6] x) => (float[1,2,12,12] y) {
   stem = Conv(x, w0, b0)
   act = LeakyRelu(stem)
   small = Conv(act, w1, b1)
   up = Resize(small, , s)
   skip = Resize(stem, , s)
   sum = Add(up, skip)
   norm = BatchNormalization<epsilon = 0.0>(sum, g, h, zero, one)
   relu = LeakyRelu(norm)
   head = Conv(relu, w2, b2)
   y = Tanh(head)
}
"""


def model(size: float, text: str = STREAM, **changed: np.ndarray) -> onnx.ModelProto:
    """The network with weights such that its stream reaches about ``size``."""
    rng = np.random.default_rng(0)
    numbers = {
        "w0": rng.normal(size=(4, 4, 1, 1)) * size,
        "b0": rng.normal(size=4) * size,
        "w1": rng.normal(size=(4, 4, 1, 1)) * 0.5,
        "b1": rng.normal(size=4),
        "s": np.array([1, 1, 2, 2]),
        "g": rng.uniform(0.5, 1.5, 4) / size,
        "h": rng.normal(size=4),
        "zero": np.zeros(4),
        "one": np.ones(4),
        "w2": rng.normal(size=(2, 4, 1, 1)) * 0.2,
        "b2": rng.normal(size=2) * 0.1,
        **changed,
    }
    proto = onnx.parser.parse_model(text)
    for name, array in numbers.items():
        tensor = numpy_helper.from_array(array.astype(np.float32), name)
        proto.graph.initializer.append(tensor)
    for number, node in enumerate(proto.graph.node):
        node.name = f"n{number}_{node.op_type}"
    return proto


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {"x": rng.uniform(-1, 1, (1, 4, 6, 6)).astype(np.float32)}


def scaled(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    work = ir.from_proto(proto)
    infer_shapes(work)
    changes = ScaleStreams([inputs()]).apply(work)
    return ir.to_proto(work), changes


def typed(proto: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(proto)


def test_result_is_bit_identical_and_every_tensor_fits() -> None:
    before = model(300_000.0)
    after, changes = scaled(before)
    assert changes
    np.testing.assert_array_equal(run_onnx(after, inputs())["y"], run_onnx(before, inputs())["y"])
    assert max(largest_values(typed(before), [inputs()]).values()) > 65504
    assert max(largest_values(typed(after), [inputs()]).values()) <= TARGET
    onnx.checker.check_model(after, full_check=True)
    stamped = [n.name for n in after.graph.node if any(p.key == STAMP for p in n.metadata_props)]
    assert stamped == ["n0_Conv", "n2_Conv", "n6_BatchNormalization"]


def test_half_precision_needs_it() -> None:
    before = model(300_000.0)
    exact = run_onnx(before, inputs())["y"]
    plain = run_onnx(
        to_fp16(model(300_000.0, b0=np.zeros(4), w0=np.eye(4)[:, :, None, None] * 60_000))[0],
        inputs(),
    )["y"]
    after = run_onnx(to_fp16(scaled(before)[0])[0], inputs())["y"]
    assert np.abs(after - exact).max() < 5e-3
    assert plain.shape == exact.shape


def test_small_tensors_are_left_alone() -> None:
    before = model(LIMIT / 16)
    assert scaled(before)[1] == []


@pytest.mark.parametrize(
    ("line", "replacement", "why"),
    [
        ("y = Tanh(head)", "y = Add(head, head)", "nothing: the head's scale is not the stream's"),
    ],
)
def test_other_groups_do_not_hinder(line: str, replacement: str, why: str) -> None:
    assert scaled(model(300_000.0, STREAM.replace(line, replacement)))[1], why


@pytest.mark.parametrize(
    ("line", "replacement"),
    [
        ("sum = Add(up, skip)", "raw = Add(up, skip)\n sum = Mul(raw, raw)"),  # not homogeneous
        ("skip = Resize(stem, , s)", "moved = Add(stem, b2x)\n skip = Resize(moved, , s)"),
    ],
)
def test_a_group_that_cannot_scale_keeps_its_values(line: str, replacement: str) -> None:
    extra = {"b2x": np.ones((1, 4, 1, 1))} if "b2x" in replacement else {}
    before = model(30_000.0, STREAM.replace(line, replacement), **extra)
    after, changes = scaled(before)
    names = " ".join(changes)
    assert "n0_Conv" not in names
    np.testing.assert_array_equal(run_onnx(after, inputs())["y"], run_onnx(before, inputs())["y"])


def test_a_stream_that_is_an_output_keeps_its_values() -> None:
    text = STREAM.replace("(float[1,2,12,12] y)", "(float[1,2,12,12] y, float[1,4,12,12] sum)")
    assert scaled(model(300_000.0, text))[1] == []


def test_a_batch_norm_with_statistics_is_not_touched() -> None:
    """Its mean would have to be scaled as well; fold-batch-norm reduces such norms first."""
    assert scaled(model(300_000.0, zero=np.ones(4)))[1] == []


def test_what_cannot_be_scaled_is_noted() -> None:
    work = ir.from_proto(model(300_000.0, STREAM.replace("y =", "read = Tanh(sum)\n   y =")))
    infer_shapes(work)
    rewrite = ScaleStreams([inputs()])
    rewrite.apply(work)
    (note,) = rewrite.notes
    assert "cannot be scaled" in note


CAPTURED = """
<ir_version: 8, opset_import: ["": 13]>
net (float[1,4,6,6] x, bool c) => (float[1,4,6,6] y) {
   stem = Conv(x, w0, b0)
   y = If(c) <
      then_branch = yes () => (float[1,4,6,6] a) { a = Sigmoid(stem) },
      else_branch = no () => (float[1,4,6,6] b) { b = Tanh(stem) }
   >
}
"""


def test_what_a_branch_reads_keeps_its_values() -> None:
    proto = onnx.parser.parse_model(CAPTURED)
    for name, array in {"w0": np.full((4, 4, 1, 1), 9e4), "b0": np.zeros(4)}.items():
        tensor = numpy_helper.from_array(array.astype(np.float32), name)
        proto.graph.initializer.append(tensor)
    work = ir.from_proto(proto)
    infer_shapes(work)
    assert ScaleStreams([{**inputs(), "c": np.array(True)}]).apply(work) == []
