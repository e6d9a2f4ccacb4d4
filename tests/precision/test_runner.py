"""Running a model, and one line for everything that can go wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from avatar_export.errors import ModelError, UserError
from avatar_export.precision.runner import OnnxRunner, run_onnx

X = np.array([1.0, -2.0], np.float32)


@pytest.fixture
def model() -> onnx.ModelProto:
    return onnx.parser.parse_model(
        """<ir_version: 4, opset_import: ["": 9]>
        g (float[2] x, float[2] b) => (float[2] r, float[2] s)
        { r = Relu(x)  s = Add(x, b) }"""
    )


def test_a_proto_its_bytes_and_its_file_give_the_same(model, tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    for form in (model, model.SerializeToString(), path):
        results = run_onnx(form, {"x": X, "b": X})
        assert list(results) == ["r", "s"]
        np.testing.assert_array_equal(results["r"], [1, 0])
        np.testing.assert_array_equal(results["s"], [2, -4])


def test_a_runner_is_loaded_once_and_names_its_tensors(model):
    runner = OnnxRunner(model, threads=2)
    assert runner.inputs == ("x", "b")
    assert runner.outputs == ("r", "s")
    np.testing.assert_array_equal(
        runner.run({"x": X, "b": X})["s"], runner.run({"x": X, "b": X})["s"]
    )


def test_an_initializer_that_is_an_input_may_be_fed_or_not(model):
    model.graph.initializer.append(onnx.numpy_helper.from_array(X, "b"))
    np.testing.assert_array_equal(run_onnx(model, {"x": X})["s"], 2 * X)
    np.testing.assert_array_equal(run_onnx(model, {"x": X, "b": 0 * X})["s"], X)


def test_feeds_are_named_when_wrong(model):
    with pytest.raises(UserError, match="missing 'b', unknown 'c'") as raised:
        run_onnx(model, {"x": X, "c": X})
    assert raised.value.hint == "the model takes x, b"


@pytest.mark.parametrize("bad", [np.ones(3, np.float32), np.ones(2, np.float64)])
def test_a_feed_of_another_shape_or_type_is_one_line(model, bad):
    with pytest.raises(ModelError, match="cannot run model") as raised:
        run_onnx(model, {"x": bad, "b": X})
    assert "\n" not in raised.value.message


def test_a_file_that_is_no_model(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"cannot load broken\.onnx") as raised:
        run_onnx(path, {})
    assert "\n" not in raised.value.message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="no such model file"):
        run_onnx(tmp_path / "none.onnx", {})


def test_threads_must_be_positive(model):
    with pytest.raises(UserError, match="threads"):
        OnnxRunner(model, threads=0)


def test_a_path_beyond_ascii(tmp_path: Path) -> None:
    path = tmp_path / "ünï code.onnx"
    text = '<ir_version: 8, opset_import: ["": 13]> net (float[2] x) => (float[2] y) { y = Neg(x) }'
    onnx.save(onnx.parser.parse_model(text), path)
    found = run_onnx(path, {"x": np.ones(2, np.float32)})
    np.testing.assert_array_equal(found["y"], [-1.0, -1.0])
