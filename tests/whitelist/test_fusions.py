"""Which operators the converter merges, and what keeps them apart."""

from __future__ import annotations

import pytest

from avatar_export.whitelist.check import check
from avatar_export.whitelist.targets import resolve_target
from tests.whitelist.models import model

IMAGE = "(float[1,4,8,8] x) => (float[1,4,8,8] y)"


def operations(signature, body, opset=13, **weights) -> list[str]:
    """SNPE operations of all nodes, in the order of the graph."""
    judgement = check(model(signature, body, opset, **weights), resolve_target(None, "2.25", "cpu"))
    return [name for node in judgement.node_verdicts for name in node.operations]


def number(name: str, value: float) -> str:
    return f"{name} = Constant <value_float = {value}> ()\n"


GROUPS = """
    three = Constant <value_ints = [1, 2, -1]> ()
    four = Constant <value_ints = [1, 4, 8, 8]> ()
    r = Reshape (x, three)
    n = InstanceNormalization (r, s, b)
    q = Reshape (n, four)
"""
GROUP_WEIGHTS = {"s": (2,), "b": (2,), "g": (4, 1, 1), "h": (4, 1, 1), "k": (4, 8, 8)}


@pytest.mark.parametrize(
    ("body", "merged"),
    [
        ("y = Relu (q)", ["GroupNorm", "Relu"]),
        ("m = Mul (q, g)\n y = Add (m, h)", ["GroupNorm"]),
        ("m = Mul (q, g)\n y = Relu (m)", ["GroupNorm", "Relu"]),
        ("m = Mul (q, z)\n y = Add (m, z)", ["GroupNorm"]),  # scale and shift may be computed
        (
            "m = Mul (q, k)\n y = Add (m, h)",  # no value a channel
            ["Reshape", "InstanceNorm", "Reshape", "ElementWiseMultiply", "ElementWiseAdd"],
        ),
    ],
)
def test_group_norm(body, merged):
    signature = "(float[1,4,8,8] x, float[1,4,1,1] z) => (float[1,4,8,8] y)"
    assert operations(signature, GROUPS + body, **GROUP_WEIGHTS) == merged


@pytest.mark.parametrize(
    "body",
    [
        "a = Mul (x, r)\n e = Erf (a)\n m = Mul (e, h)\n s = Add (m, h)\n y = Mul (x, s)",
        "a = Mul (x, h)\n d = Div (x, t)\n e = Erf (d)\n s = Add (e, o)\n y = Mul (a, s)",
    ],
)
def test_spellings_of_gelu(body):
    head = number("r", 0.70710678) + number("t", 1.41421356) + number("h", 0.5) + number("o", 1.0)
    assert operations(IMAGE, head + body) == ["Gelu"]


@pytest.mark.parametrize("last", ["m = Mul (t, h)", "m = Div (t, w)"])
def test_gelu_by_the_hyperbolic_tangent(last):
    body = (
        number("p", 3.0)
        + number("k", 0.044715)
        + number("c", 0.79788456)
        + number("o", 1.0)
        + number("h", 0.5)
        + number("w", 2.0)
        + """
            a = Pow (x, p)
            b = Mul (a, k)
            d = Add (x, b)
            e = Mul (d, c)
            f = Tanh (e)
            t = Add (f, o)
        """
    )
    assert operations(IMAGE, body + last + "\n y = Mul (x, m)") == ["Gelu"]


@pytest.mark.parametrize(
    "body",
    [
        "m = Mul (x, c)\n y = Div (m, six)",
        "m = Mul (x, c)\n y = Mul (m, sixth)",
        "m = Div (c, six)\n y = Mul (x, m)",
        "m = Mul (c, sixth)\n y = Mul (x, m)",
    ],
)
def test_spellings_of_hard_swish(body):
    head = number("three", 3.0) + number("six", 6.0) + number("sixth", 1 / 6) + number("zero", 0.0)
    head += "a = Add (x, three)\n c = Clip (a, zero, six)\n"
    assert operations(IMAGE, head + body) == ["HardSwish"]


def test_what_a_convolution_takes_in():
    head = number("two", 2.0) + "a = Conv <kernel_shape = [1, 1]> (x, w)\n"
    weights = {"w": (4, 4, 1, 1), "c": (1, 4, 1, 1)}
    for operator in ("Add", "Sub", "Mul", "Div"):
        assert operations(IMAGE, head + f"y = {operator} (a, two)", **weights) == ["Conv2d"]
    for operator in ("Add", "Sub", "Div"):
        assert operations(IMAGE, head + f"y = {operator} (a, c)", **weights) == ["Conv2d"]
    kept = operations(IMAGE, head + "y = Mul (a, c)", **weights)
    assert kept == ["Conv2d", "ElementWiseMultiply"]  # a factor folds with rank 1 only
    row = "(float[1,4,8] x) => (float[1,4,8] y)"
    body = "a = Conv <kernel_shape = [1]> (x, w)\n y = Add (a, c)"
    assert "ElementWiseAdd" in operations(row, body, w=(4, 4, 1), c=(1, 4, 1))


def test_what_a_dense_layer_takes_in():
    signature = "(float[2,4] x) => (float[2,3] y)"
    product = "a = MatMul (x, w)\n y = Add (a, c)"
    assert operations(signature, product, w=(4, 3), c=(3,)) == ["FullyConnected"]
    kept = operations(signature, product, w=(4, 3), c=(2, 3))
    assert kept == ["FullyConnected", "ElementWiseAdd"]
    norm = "a = Gemm (x, w)\n y = BatchNormalization (a, s, s, s, s)"
    assert operations(signature, norm, w=(4, 3), s=(3,)) == ["FullyConnected"]


def test_the_scale_of_an_attention_becomes_beta():
    body = number("c", 0.35) + "a = Mul (x, c)\n y = Softmax <axis = 3> (a)"
    assert operations(IMAGE, body) == ["Softmax"]
    assert operations(IMAGE, body, 11)[0] == "ElementWiseMultiply"


def test_norms_over_one_axis_keep_what_was_reduced():
    body = """
        q = Mul (x, x)
        m = ReduceMean <axes = [1], keepdims = {}> (q)
        e = Add (m, eps)
        r = Sqrt (e)
        y = Div (x, r)
    """
    head = number("eps", 0.00001)
    assert operations(IMAGE, head + body.format(1)) == ["RmsNorm"]
    dropped = "(float[8,8,8] x) => (float[8,8,8] y)"
    assert "RmsNorm" not in operations(dropped, head + body.format(0))


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("a = Cast <to = 1> (x)\n y = Relu (a)", ["Relu"]),
        ("a = Cast <to = 11> (x)\n b = Exp (a)\n y = Cast <to = 1> (b)", ["ElementWiseExp"]),
        ("a = Concat <axis = 1> (x)\n y = Relu (a)", ["Relu"]),
        ("s = Shape (x)\n a = Expand (x, s)\n y = Relu (a)", ["Relu"]),
    ],
)
def test_what_changes_nothing_leaves_nothing(body, left):
    assert operations(IMAGE, body) == left


def test_a_bias_of_two_dimensions_is_added_apart():
    found = operations("(float[2,4] x) => (float[2,3] y)", "y = Gemm (x, w, c)", w=(4, 3), c=(2, 3))
    assert found == ["FullyConnected", "ElementWiseAdd"]
