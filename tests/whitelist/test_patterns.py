"""The pattern language: what a pattern covers, and what breaks it."""

from __future__ import annotations

import pytest

from avatar_export.errors import ModelError
from avatar_export.whitelist.patterns import match, parse_pattern
from avatar_export.whitelist.view import ModelView
from tests.whitelist.models import model

RMS = "Div(x, Sqrt(Add(@ReduceMean(Mul(x, x)), s1)))"
NORM = """
    q = Mul (x, x)
    m = ReduceMean <axes = [1], keepdims = 1> (q)
    eps = Constant <value_float = 0.00001> ()
    e = Add (m, eps)
    r = Sqrt (e)
    y = Div (x, r)
"""
IO = "(float[1,4,8,8] x) => (float[1,4,8,8] y)"


def matched(pattern: str, signature: str, body: str):
    view = ModelView(model(signature, body, 13))
    return match(parse_pattern(pattern), view.nodes[-1])


def operators(found) -> list[str]:
    return [node.operator for node in found.nodes]


def test_a_pattern_covers_its_nodes_outermost_first():
    found = matched(RMS, IO, NORM)
    assert operators(found) == ["Div", "Sqrt", "Add", "ReduceMean", "Mul"]
    assert found.anchor.operator == "ReduceMean"
    assert found.letters["x"] == "x"


def test_operands_of_a_sum_match_in_either_order():
    assert matched(RMS, IO, NORM.replace("(m, eps)", "(eps, m)"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Div (x, r)", "Div (q, r)"),  # another tensor under the same letter
        ("Mul (x, x)", "Mul (x, m)"),
        ("Add (m, eps)", "Sub (m, eps)"),
        ("<value_float = 0.00001>", "<value_floats = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]>"),
    ],
)
def test_other_graphs_do_not_match(old, new):
    body = NORM.replace(old, new)
    if "Mul (x, m)" in new:
        body = NORM.replace("Mul (x, x)", "Mul (x, z)")
    assert matched(RMS, "(float[1,4,8,8] x, float[1,4,8,8] z) => (float[1,4,8,8] y)", body) is None


def test_other_nodes_between_keep_a_pattern_apart():
    body = NORM.replace("r = Sqrt (e)", "t = Tanh (x)\n r = Sqrt (e)")
    signature = "(float[1,4,8,8] x) => (float[1,4,8,8] y, float[1,4,8,8] t)"
    view = ModelView(model(signature, body, 13))
    assert match(parse_pattern(RMS), view.nodes[-1]) is None
    assert match(parse_pattern("~" + RMS), view.nodes[-1])


def test_the_graph_lists_the_operators_as_the_pattern_does():
    halved = "h = Mul (x, two)\n t = Tanh (x)\n y = Mul (h, t)"
    body = "two = Constant <value_float = 2.0> ()\n" + halved
    assert matched("Mul(Mul(x, 2), Tanh(x))", IO, body)
    assert matched("Mul(Tanh(x), Mul(x, 2))", IO, body) is None


def test_a_constant_of_equal_elements():
    body = "c = Constant <value_floats = [{}]> ()\n y = Max (x, c)"
    assert matched("Max(x, u1)", IO, body.format(", ".join(["0.5"] * 8)))
    assert matched("Max(x, u1)", IO, body.format("0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0")) is None
    assert (
        matched(
            "Max(x, u1)", "(float[1,4,8,8] x, float[1] c) => (float[1,4,8,8] y)", "y = Max (x, c)"
        )
        is None
    )


def test_an_inner_result_that_is_read_elsewhere_keeps_its_node():
    body = NORM.replace("y = Div (x, r)", "z = Relu (m)\n y = Div (x, r)")
    signature = "(float[1,4,8,8] x) => (float[1,4,8,8] y, float[1,1,8,8] z)"
    assert matched(RMS, signature, body) is None


def test_an_inner_result_that_is_an_output_keeps_its_node():
    assert matched(RMS, "(float[1,4,8,8] x) => (float[1,4,8,8] y, float[1,1,8,8] r)", NORM) is None


def test_a_letter_names_a_shared_result():
    body = """
        m = ReduceMean <axes = [1], keepdims = 1> (x)
        d = Sub (x, m)
        two = Constant <value_float = 2.0> ()
        y = Pow (d, two)
    """
    assert matched("Pow(d=Sub(x, ReduceMean(x)), 2)", IO, body).letters["d"] == "d"
    assert matched("Pow(d=Sub(x, ReduceMean(x)), 3)", IO, body) is None


def test_an_optional_operator_may_be_missing_or_one_of_several():
    pattern = "Div(x, Expand?(Clip|Max?(ReduceL2(x))))"
    bare = "n = ReduceL2 <axes = [1], keepdims = 1> (x)\n y = Div (x, n)"
    assert operators(matched(pattern, IO, bare)) == ["Div", "ReduceL2"]
    long = """
        n = ReduceL2 <axes = [1], keepdims = 1> (x)
        low = Constant <value_float = 0.00001> ()
        c = Clip (n, low)
        s = Shape (x)
        e = Expand (c, s)
        y = Div (x, e)
    """
    assert operators(matched(pattern, IO, long)) == ["Div", "Expand", "Clip", "ReduceL2"]


def test_inputs_beyond_the_pattern_must_be_constants():
    signature = "(float[1,4,8,8] x, float[4] w) => (float[1,4,8,8] y)"
    body = "n = PRelu (x, w)\n y = Relu (n)"
    assert matched("Relu(PRelu(x))", signature, body) is None


@pytest.mark.parametrize(
    "text", ["", "x", "Relu(x", "Relu(x))", "Relu()", "Relu(x) Tanh(x)", "Relu(x; y)", "@(x)"]
)
def test_malformed_patterns_are_refused(text):
    with pytest.raises(ModelError, match="pattern"):
        parse_pattern(text)
