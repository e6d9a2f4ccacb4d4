from __future__ import annotations

import numpy as np
import onnx
import pytest

from avatar_export.errors import ModelError
from avatar_export.passes.bind_inputs import BindInputs
from avatar_export.precision.runner import run_onnx
from tests.passes.models import applied, initializers, loaded, operators, parsed, rng

BODY = """g (float[1,3] x, float[3] a, float[1,3] b) => (float[1,3] y) {
    r = Mul(x, a)
    y = Add(r, b)
}"""
VALUES = {"a": rng(3), "b": rng(1, 3, seed=1)}


def test_inputs_become_initializers() -> None:
    proto = parsed(BODY)
    after, changes = applied(BindInputs(VALUES), proto)
    assert changes == ["2 inputs (6 numbers) became constants"]
    assert [v.name for v in after.graph.input] == ["x"]
    assert operators(after) == operators(proto)
    for name, array in initializers(after).items():
        np.testing.assert_array_equal(array, VALUES[name])
    x = rng(1, 3, seed=2)
    expected = run_onnx(proto, {"x": x, **VALUES})
    np.testing.assert_array_equal(run_onnx(after, {"x": x})["y"], expected["y"])


def test_order_of_the_other_inputs_is_kept() -> None:
    after, _ = applied(BindInputs({"a": VALUES["a"]}), parsed(BODY))
    assert [v.name for v in after.graph.input] == ["x", "b"]


def test_nothing_to_bind() -> None:
    after, changes = applied(BindInputs({}), parsed(BODY))
    assert changes == []
    assert len(after.graph.input) == 3


def test_an_input_that_is_an_output_too() -> None:
    body = "g (float[3] x, float[3] a) => (float[3] y, float[3] a) { y = Mul(x, a) }"
    after, _ = applied(BindInputs({"a": VALUES["a"]}), parsed(body))
    found = run_onnx(after, {"x": np.ones(3, np.float32)})
    np.testing.assert_array_equal(found["a"], VALUES["a"])


def test_a_free_dimension_takes_any_size() -> None:
    body = "g (float[N,3] x, float[N,3] a) => (float[N,3] y) { y = Mul(x, a) }"
    after, _ = applied(BindInputs({"a": rng(2, 3)}), parsed(body))
    x = rng(2, 3, seed=1)
    np.testing.assert_allclose(run_onnx(after, {"x": x})["y"], x * rng(2, 3), rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"c": rng(3)}, "the graph has no input c"),
        ({"r": rng(1, 3)}, "the graph has no input r"),
        ({"a": rng(4)}, "a is [3] in the graph, [4] given"),
        ({"a": rng(1, 3)}, "a is [3] in the graph, [1, 3] given"),
        ({"a": rng(3).astype(np.float64)}, "a is FLOAT in the graph, DOUBLE given"),
    ],
)
def test_refusals(values: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(ModelError) as caught:
        BindInputs(values).requires(loaded(parsed(BODY)))
    assert words in caught.value.message


def test_a_free_dimension_still_has_a_rank() -> None:
    body = "g (float[N,3] a) => (float[N,3] y) { y = Relu(a) }"
    for wrong in (rng(3), rng(2, 4)):
        with pytest.raises(ModelError, match="in the graph"):
            BindInputs({"a": wrong}).requires(loaded(parsed(body)))


def test_an_input_of_unknown_shape_takes_any() -> None:
    proto = parsed("g (float[3] a) => (float[3] y) { y = Relu(a) }")
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    after, _ = applied(BindInputs({"a": rng(3)}), proto)
    assert isinstance(after, onnx.ModelProto)
