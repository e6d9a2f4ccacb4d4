"""Constants are computed once, cheaply, and never beyond their bounds."""

from __future__ import annotations

import numpy as np
import pytest

from avatar_export.whitelist.model import folding
from avatar_export.whitelist.view import ModelView, UndeterminedError
from tests.whitelist.models import model


def value(body: str, name: str = "y", opset: int = 13) -> list[object]:
    text = "k = Constant <value = int64[3] {4, 5, 6}> () i = Constant <value = int64[1] {1}> ()"
    return ModelView(model("(float[2,3,4] x) => (y)", f"{text} {body}", opset)).value(name).tolist()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Shape (x)", [2, 3, 4]),
        ("y = Shape <start = 1, end = -1> (x)", [3]),
        ("y = Size (x)", 24),
        ("y = Gather (k, i)", [5]),
        ("y = Slice (k, i, k)", [5, 6]),
        ("y = Concat <axis = 0> (k, i)", [4, 5, 6, 1]),
        ("y = Unsqueeze (k, i)", [[4], [5], [6]]),
        ("y = ConstantOfShape <value = int64[1] {7}> (i)", [7]),
        ("y = Expand (i, k)", np.ones((4, 5, 6)).tolist()),
        ("y = Div (k, i)", [4, 5, 6]),
        ("f = Cast <to = 1> (k) h = Mul (f, f) q = Sqrt (h) y = Cast <to = 7> (q)", [4, 5, 6]),
        ("b = Equal (k, i) y = Where (b, i, k)", [4, 5, 6]),
        ("z = Sub (i, i) s = Squeeze (z) e = Squeeze (i) y = Range (s, e, e)", [0]),
        ("a, b, y = Split <axis = 0> (k)", [6]),
    ],
)
def test_operators_that_exporters_write(body, expected):
    assert value(body, opset=15 if "start" in body else 13) == expected


def test_older_forms_of_operators():
    assert value("y = Unsqueeze <axes = [0]> (k)", opset=11) == [[4, 5, 6]]
    assert value("y = Slice <starts = [1], ends = [2]> (k)", opset=9) == [5]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("y = Relu (x)", "not in the model"),
        ("y = Softmax (k)", "computed by Softmax"),
        ("y = RandomNormal <shape = [2]> ()", "not in the model"),
        ("y = Gather (k, k)", "cannot be computed"),
        ("h = Mul (k, k) j = Mul (h, h) y = ConstantOfShape (j)", "too large"),
        ("h = Mul (k, k) j = Mul (h, h) y = Expand (i, j)", "too large"),
        ("h = Mul (k, k) j = Mul (h, h) z = Sub (i, i) y = Range (z, j, i)", "cannot|too large"),
        ("h = Mul (k, k) j = Mul (h, h) q = Mul (j, j) y = Tile (i, q)", "too large|cannot"),
    ],
)
def test_what_is_not_computed(body, why):
    with pytest.raises(UndeterminedError, match=why):
        value(body)


def test_nothing_is_allocated_that_would_not_fit(monkeypatch):
    """The bound holds before the evaluator is asked."""
    monkeypatch.setattr(folding, "evaluate", lambda *_: pytest.fail("evaluated"))
    text = "z = Constant <value = float[1] {0}> () k = Constant <value = int64[2] {300, 300}> ()"
    view = ModelView(model("(float[1] x) => (y)", f"{text} y = Expand (z, k)"))
    with pytest.raises(UndeterminedError, match="too large"):
        view.value("y")


def test_matrix_products_of_empty_operands_are_bounded():
    view = ModelView(model("() => (y)", "y = MatMul (a, b)", a=(60000, 0), b=(0, 60000)))
    with pytest.raises(UndeterminedError, match="too large"):
        view.value("y")


def test_all_constants_together_are_bounded(monkeypatch):
    monkeypatch.setattr(folding, "_MOST_IN_ALL", 8)
    body = "k = Constant <value = int64[3] {1, 2, 3}> () a = Abs (k) b = Abs (a) y = Abs (b)"
    view = ModelView(model("() => (y)", body, 13))
    assert view.value("b").tolist() == [1, 2, 3]
    with pytest.raises(UndeterminedError, match="too many"):
        view.value("y")


def test_long_chains_need_no_deep_stack():
    chain = " ".join(f"c{i + 1} = Identity (c{i})" for i in range(3000))
    view = ModelView(model("() => (y)", f"c0 = Constant <value_int = 7> () {chain}", 13))
    assert view.value("c3000") == 7


def test_each_constant_is_computed_once(monkeypatch):
    calls = []

    def counted(node, opset, operands):
        calls.append(node.op_type)
        return [operands[0]]

    monkeypatch.setattr(folding, "evaluate", counted)
    body = "k = Constant <value_int = 7> () a = Identity (k) b = Add (a, a) y = Add (a, b)"
    view = ModelView(model("() => (y)", body, 13))
    assert view.value("y") == view.value("y") == 7
    assert calls == ["Identity", "Add", "Add"]


def test_names_written_twice_make_no_circle():
    body = "b = Identity (a) a = Identity (b) c = Constant <value_int = 1> () b = Identity (c)"
    view = ModelView(model("(float[1] x) => (y)", f"{body} a = Identity (b) y = Add (a, b)", 13))
    assert view.value("b") == 1


@pytest.mark.parametrize(
    "attribute", ["value_ints = 1.5", "value = 1", "value_float = [1]", "sparse_value = 1"]
)
def test_malformed_constants_have_a_value_or_none(attribute):
    view = ModelView(model("() => (y)", f"y = Constant <{attribute}> ()", 13))
    assert "y" in view.constants and view.nodes[0].invalid


def test_constants_without_a_value():
    built = model("() => (y)", "y = Constant <value_int = 1> ()", 13)
    built.graph.node[0].attribute[0].type = 0
    with pytest.raises(UndeterminedError):
        ModelView(built).value("y")
