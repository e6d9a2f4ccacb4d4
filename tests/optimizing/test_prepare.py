from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from avatar_export.errors import ModelError
from avatar_export.optimizing import prepare
from avatar_export.optimizing.prepare import prepared, require_comparable, require_valid
from avatar_export.precision.runner import run_onnx
from tests.passes.models import parsed

RELU = "g (float[4] x) => (float[4] y) { y = Relu (x) }"


def edited(text: str = RELU, **fields: Any) -> onnx.ModelProto:
    model = parsed(text, 16)
    for name, value in fields.items():
        getattr(model, name).append(value)
    return model


def sparse() -> onnx.ModelProto:
    model = parsed("g (float[4] x) => (float[4] y) { y = Add (x, s) }", 16)
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [2.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [3])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    return model


def test_a_plain_model_is_taken_as_it_is() -> None:
    model = parsed(RELU, 16)
    assert prepared(model) is model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (edited(training_info=onnx.TrainingInfoProto()), "training steps"),
        (sparse(), "sparse tensors"),
        (
            parsed("g (seq(float[4]) x, int64 i) => (float[4] y) { y = SequenceAt (x, i) }", 16),
            "'x' is of type sequence",
        ),
        (
            parsed(
                "g (float[4] x, int64 i) => (float[4] y) "
                "{ s = SequenceConstruct (x) y = SequenceAt (s, i) }",
                16,
            ),
            "'s' is of type sequence",
        ),
        (
            parsed("g (optional(float[4]) x) => (float[4] y) { y = OptionalGetElement (x) }", 16),
            "'x' is of type optional",
        ),
        (parsed("g (float[4] x) => (float[1,4] y) { y = Relu (x) }", 16), "not valid ONNX: .*rank"),
        (
            parsed("g (float[4] x) => (float[4] y) { y = Rely (x) }", 16),
            "No Op registered for Rely",
        ),
    ],
)
def test_what_passes_would_lose_or_choke_on_is_refused(
    model: onnx.ModelProto, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        prepared(model)


def test_open_dimensions_are_named_with_the_option_that_fixes_them() -> None:
    model = parsed("g (float[N,3,?,8] x) => (float[N,3,?,8] y) { y = Relu (x) }", 16)
    with pytest.raises(ModelError, match=r"input 'x' has open dimensions: N,3,\?,8") as error:
        prepared(model)
    assert "--input x:N,3,?,8" in error.value.hint


def test_an_input_with_a_default_needs_no_shape() -> None:
    model = parsed("g (float[4] x, float[N] w) => (float[4] y) { y = Add (x, w) }", 16, w=[1.0])
    assert prepared(model) is model


def test_too_large_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "LARGEST", 10)
    with pytest.raises(ModelError, match="onnxsim and the checker of ONNX take 2 GB"):
        prepared(parsed("g (float[4] x) => (float[4] y) { y = Add (x, w) }", 16, w=[1.0] * 4))


CALLING = """<ir_version: 8, opset_import: ["" : 16, "own" : 1]>
    g (float[1,4] x) => (float[4] y) { y = own.Flat (x) }
    <domain: "own", opset_import: ["" : 11]> Flat (a) => (b) { b = Squeeze <axes = [0]> (a) }
"""


def test_local_functions_are_written_out_in_the_set_of_the_model() -> None:
    plain = prepared(onnx.parser.parse_model(CALLING))
    assert not plain.functions
    assert "Squeeze" in [node.op_type for node in plain.graph.node]
    x = np.arange(4, dtype=np.float32)[None]
    assert run_onnx(plain, {"x": x})["y"].tolist() == [0, 1, 2, 3]


def test_functions_that_cannot_be_written_out_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def given_up(model: onnx.ModelProto) -> onnx.ModelProto:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        del copy.functions[:]
        return copy

    monkeypatch.setattr(prepare, "inlined", given_up)
    model = onnx.parser.parse_model(CALLING.replace("11", "16").replace("<axes = [0]>", ""))
    assert prepared(model) is model


def test_texts_cannot_be_compared() -> None:
    model = parsed('g () => (string[1] y) { y = Constant <value = string[1] {"a"}> () }', 16)
    with pytest.raises(ModelError, match="output 'y' holds texts"):
        require_comparable(model)
    require_comparable(parsed(RELU))


def test_the_inferred_shapes_are_given_back() -> None:
    model = parsed("g (float[4] x) => (float[4] y) { t = Relu (x) y = Neg (t) }", 16)
    assert [value.name for value in require_valid(model, "it").graph.value_info] == ["t"]
