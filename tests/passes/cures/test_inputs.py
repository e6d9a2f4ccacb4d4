from __future__ import annotations

import numpy as np
import onnx
import pytest

from avatar_export.errors import ModelError
from avatar_export.passes.cures import inputs
from avatar_export.passes.cures.inputs import random_inputs
from tests.passes.models import parsed


def model_of(node: str, fed: str, output: str = "float[a] y", **weights: object):
    return parsed(f"g ({fed}) => ({output}) {{ y = {node} }}", 13, **weights)


def test_they_are_the_same_in_every_run() -> None:
    proto = model_of("Relu(x)", "float[1000] x")
    first, second = random_inputs(proto)["x"], random_inputs(proto)["x"]
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32 and first.min() < -0.9 and first.max() > 0.9


@pytest.mark.parametrize(("node", "low"), [("Sqrt(x)", 0), ("Log(x)", 0), ("Acosh(x)", 1)])
def test_they_lie_where_the_model_is_defined(node: str, low: float) -> None:
    assert random_inputs(model_of(node, "float[1000] x"))["x"].min() > low


@pytest.mark.parametrize("size", [9, 4, 1])
def test_indices_are_within_their_axis(size: int) -> None:
    proto = model_of("Gather(w, x)", "int64[1000] x", w=np.zeros(size, np.float32))
    assert random_inputs(proto)["x"].max() == {9: 7, 4: 1, 1: 0}[size]


def test_truth_values() -> None:
    found = random_inputs(model_of("Not(x)", "bool[1000] x", "bool[a] y"))["x"]
    assert found.dtype == bool and 400 < found.sum() < 600


def test_inputs_with_a_default_are_not_fed() -> None:
    proto = model_of("Add(x, w)", "float[2] x, float[2] w", w=np.ones(2, np.float32))
    assert list(random_inputs(proto)) == ["x"]


def test_weights_beyond_a_message_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = model_of("Add(x, w)", "float[2] x", w=np.ones(2, np.float32))
    monkeypatch.setattr(inputs, "_MOST_BYTES", 8)
    random_inputs(proto)
    monkeypatch.setattr(inputs, "_MOST_BYTES", 7)
    with pytest.raises(ModelError, match="above 2 GB"):
        random_inputs(proto)


REFUSED = {
    "an open dimension": (model_of("Relu(x)", "float[N] x"), "input x has no fixed shape"),
    "no shape": (model_of("Relu(x)", "float[] x"), "input x has no fixed shape"),
    "text": (model_of("Identity(x)", "string[2] x", "string[2] y"), "not numbers"),
    "too large": (model_of("Relu(x)", "float[70000,70000] x"), "cannot be run"),
    "no numbers": (model_of("Mul(x, w)", "float[2] x", w=np.float32("nan")), "no numbers"),
    "a runtime error": (
        model_of("Gather(w, x)", "int64[2] x", w=np.zeros(0, np.float32)),
        "ONNX Runtime cannot run",
    ),
    "a foreign operator": (model_of("custom.Foo(x)", "float[2] x"), "ONNX Runtime cannot load"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refusals(case: tuple[onnx.ModelProto, str]) -> None:
    proto, reason = case
    with pytest.raises(ModelError, match=reason):
        random_inputs(proto)


def test_infinite_results_are_taken_where_there_are_no_others() -> None:
    proto = model_of("Add(x, w)", "float[2] x", w=np.float32("-inf"))
    assert set(random_inputs(proto)) == {"x"}
