"""Shapes of operator versions that ONNX does not infer."""

from __future__ import annotations

import onnx
import pytest

from avatar_export.whitelist.view import ModelView


def shapes(body: str, opset: int, given: str = "float[1,4,8,8] x") -> dict[str, object]:
    text = f'<ir_version: 3, opset_import: ["" : {opset}]> g ({given}) => (y) {{ {body} }}'
    view = ModelView(onnx.parser.parse_model(text))
    return {node.outputs[0]: view.dims(node.outputs[0]) for node in view.nodes}


@pytest.mark.parametrize(
    "node",
    ["Relu (x)", "Clip <min = 0.0> (x)", "Sum (x, x)", "Mul (x, x)", "Neg (x)", "Tanh (x)"],
)
def test_first_versions_are_read_as_later_ones(node):
    assert shapes(f"y = {node}", 4) == {"y": (1, 4, 8, 8)}


def test_a_chain_of_them_is_followed():
    body = "a = Relu (x) b = Sigmoid (a) c = Reshape <shape = [1, 4, -1]> (b) y = Abs (c)"
    assert shapes(body, 4)["y"] == (1, 4, 64)


def test_a_sum_that_broadcasts_keeps_the_first_shape():
    given = "float[1,4,8,8] x, float[4] z"
    assert shapes("y = Add <broadcast = 1, axis = 1> (x, z)", 4, given)["y"] == (1, 4, 8, 8)


def test_a_comparison_of_set_12():
    assert shapes("y = LessOrEqual (x, x)", 12)["y"] == (1, 4, 8, 8)


def test_an_attribute_that_became_an_input_stays_unknown():
    assert shapes("y = Pad <paddings = [0, 0, 1, 1, 0, 0, 1, 1]> (x)", 1)["y"] is None
