"""What breaks the ONNX specification is said of the node that does."""

from __future__ import annotations

import pytest

from avatar_export.whitelist.view import ModelView
from tests.whitelist.models import model, node

X = "(float[1,4,8,8] x, float[4,3,3,3] w, float[4,4,3,3] u, float[5] v, float[2,3] a) => (y)"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("y = Conv (x)", "1 inputs, Conv takes 2 to 3"),
        ("y = Concat <axis = 0> ()", "0 inputs, Concat takes 1 or more"),
        ("y, z = Relu (x)", "2 outputs, Relu gives 1"),
        ("y = Concat (x, x)", "attribute axis is required"),
        ("y = Relu (nowhere)", "nothing writes the input nowhere"),
        ("y = Cast <to = 1.5> (x)", "attribute to has the wrong type"),
        ("y = Conv (x, w)", "the input has 4 channels, the weight takes 3 * 1 groups"),
        ("y = Conv <pads = [-1, 0, 0, 0]> (x, u)", "negative"),
        ("y = Conv (x, v)", "spatial dimensions"),
        ("y = ConvTranspose (x, a)", "the input has 4 channels, the second operand takes 2"),
        ("y = Gemm (a, a)", "the input has 3 columns, the second operand takes 2"),
        ("y = InstanceNormalization (x, v, v)", "the input has 4 channels"),
        ("y = Concat <axis = 9> (x, x)", "axis must be in"),
        ("y = Transpose <perm = [0, 0, 1, 1]> (x)", "repeated value"),
        ('y = Einsum <equation = "ij9->ij"> (a)', "malformed"),
        ("y = Softmax <axis = 4294967296> (x)", "axis is 4294967296"),
    ],
)
def test_reason(body, reason):
    assert reason in node(X, body, 12).invalid


@pytest.mark.parametrize(
    "body",
    [
        "y = Conv <group = 1> (x, z)",
        "y = Gemm <transB = 1> (a, a)",
        "y = Gemm <transA = 1> (a, a)",
        "y = Resize (x, , s)",
        "y = other.Anything ()",
        "y = NoSuchOperator <q = 1> (x)",
    ],
)
def test_what_is_right_or_unknown_passes(body):
    text = X.replace("float[5] v", "float[5] v, float[4,4,1,1] z, float[4] s")
    assert node(text, body, 13).invalid == ""


def test_the_rest_of_an_invalid_model_is_still_known():
    body = "b = Relu (x) c = Transpose <perm = [7]> (b) d = Relu (c) y = Sigmoid (b)"
    view = ModelView(model(X, body))
    assert view.invalid == ["Transpose_1: Invalid attribute perm {7}, input shape = {1, 4, 8, 8}"]
    assert view.shape("y") == (1, 4, 8, 8) and view.dims("d") is None


def test_a_declared_shape_gives_way_to_the_inferred_one():
    """Tools that edit models leave stale shapes behind; no converter reads them."""
    view = ModelView(model("(float[1,4] x) => (float[9,9] y)", "y = Relu (x)"))
    assert view.shape("y") == (1, 4) and view.invalid == []


def test_a_declared_shape_stands_in_for_an_invalid_node():
    text = "(float[1,4] x) => (y) <float[6,6] b>"
    view = ModelView(model(text, "b = Transpose <perm = [7]> (x) y = Relu (b)"))
    assert view.shape("y") == (6, 6)
