from __future__ import annotations

import onnx

from avatar_export.onnx_file.normal_form import normalised
from tests.onnx_file.models import parsed, relu


def test_a_modern_model_is_left_alone() -> None:
    model = relu()
    assert normalised(model) is model


def test_weights_of_ir_3_are_no_inputs() -> None:
    model = parsed("g (float[2] x, float[2] w) => (float[2] y) { y = Add (x, w) }", 9)
    model.ir_version = 3
    model.graph.initializer.append(onnx.helper.make_tensor("w", 1, [2], [1.0, 2.0]))
    plain = normalised(model)
    assert [value.name for value in plain.graph.input] == ["x"]
    assert plain.ir_version == 4 and model.ir_version == 3


def test_an_input_with_a_default_stays_an_input() -> None:
    model = parsed("g (float[2] x, float[2] w) => (float[2] y) { y = Add (x, w) }", 9)
    model.graph.initializer.append(onnx.helper.make_tensor("w", 1, [2], [1.0, 2.0]))
    assert [value.name for value in normalised(model).graph.input] == ["x", "w"]


def test_the_alias_of_the_default_domain_is_dropped_everywhere() -> None:
    model = parsed(
        "g (bool c, float[2] x) => (float[2] y) { y = If (c) "
        "<then_branch = a () => (float[2] t) { t = Relu (x) }, "
        "else_branch = b () => (float[2] e) { e = Neg (x) }> }"
    )
    model.opset_import[0].domain = "ai.onnx"
    model.graph.node[0].attribute[0].g.node[0].domain = "ai.onnx"
    plain = normalised(model)
    onnx.checker.check_model(plain)
    assert plain.opset_import[0].domain == ""
    assert plain.graph.node[0].attribute[0].g.node[0].domain == ""


def test_nodes_of_the_alias_in_a_model_that_imports_the_plain_name() -> None:
    model = relu()
    model.graph.node[0].domain = "ai.onnx"
    assert normalised(model).graph.node[0].domain == ""


def test_two_versions_of_the_default_domain_stay_two() -> None:
    model = relu()
    model.opset_import.add(domain="ai.onnx", version=9)
    assert normalised(model) is model
