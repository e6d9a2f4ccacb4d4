"""What the converter stops at by its own source: a form that it refuses, and its neighbour."""

from __future__ import annotations

import pytest

from avatar_export.whitelist.check import check
from avatar_export.whitelist.targets import resolve_target
from tests.whitelist.models import model


def reasons(signature, body, opset=13, **weights) -> list[str]:
    """Reasons of the AX105 errors."""
    judgement = check(model(signature, body, opset, **weights), resolve_target(None, "2.25", "cpu"))
    return [f.reason for f in judgement.errors if f.code == "AX105"]


STATES = ', "", h, c'
GIVEN = {"w": (1, 12, 4), "r": (1, 12, 3), "b": (1, 24), "h": (1, 1, 3), "c": (1, 1, 3)}


@pytest.mark.parametrize(
    ("outputs", "inputs", "taken"),
    [
        ("y", "x, w, r, b", True),
        ("y, p", "x, w, r, b", False),
        ("y, p, q", "x, w, r, b", False),
        ("y, p", "x, w, r, b" + STATES, True),
        ("y, p, q", "x, w, r, b" + STATES, True),
        ("y, p", "x, w, r, b" + ', "", h', False),  # both states or none
    ],
)
def test_outputs_of_an_lstm_without_states(outputs, inputs, taken):
    body = f"{outputs} = LSTM <hidden_size = 3> ({inputs})"
    found = reasons("(float[3,1,4] x) => (float[3,1,1,3] y)", body, **GIVEN)
    assert [bool(found)] == [not taken]


def test_filters_of_an_lstm_are_constants():
    signature = "(float[3,1,4] x, float[1,12,3] r) => (float[3,1,1,3] y)"
    assert reasons(signature, "y = LSTM <hidden_size = 3> (x, w, r)", w=(1, 12, 4))


@pytest.mark.parametrize(
    ("attributes", "inputs", "taken"),
    [
        ("", "x, w, r, b", True),
        ("", "x, w, r", False),
        (', direction = "bidirectional"', 'x, w, r, b, "", h', True),
        (', direction = "bidirectional"', "x, w, r, b", False),
    ],
)
def test_inputs_of_a_gru(attributes, inputs, taken):
    ways = 2 if attributes else 1
    given = {"w": (ways, 9, 4), "r": (ways, 9, 3), "b": (ways, 18), "h": (ways, 1, 3)}
    body = f"y = GRU <hidden_size = 3{attributes}> ({inputs})"
    found = reasons(f"(float[3,1,4] x) => (float[3,{ways},1,3] y)", body, 14, **given)
    assert [bool(found)] == [not taken]


@pytest.mark.parametrize("operator", ["ScatterND", "ScatterElements"])
@pytest.mark.parametrize(("reduction", "taken"), [("add", True), ("mul", True), ("max", False)])
def test_reductions_of_a_scatter(operator, reduction, taken):
    indices = "float[2,8] u) => (float[8,8] y)"
    shape = "[2,1]" if operator == "ScatterND" else "[2,8]"
    signature = f"(float[8,8] x, int64{shape} i, {indices}"
    body = f'y = {operator} <reduction = "{reduction}"> (x, i, u)'
    assert [bool(reasons(signature, body, 18))] == [not taken]


@pytest.mark.parametrize(
    ("perm", "taken"),
    [
        ("0, 1, 3, 2, 4, 5", True),  # windows of an image
        ("0, 2, 4, 3, 5, 1", True),
        ("0, 1, 2, 4, 3, 5", False),  # three that stay together
        ("4, 5, 2, 3, 0, 1", False),  # pairs that change sides
    ],
)
def test_transposes_of_rank_6_whose_sizes_cannot_be_joined(perm, taken):
    sizes = "234567"
    after = ",".join(sizes[int(axis)] for axis in perm.split(","))
    signature = f"(float[{','.join(sizes)}] x) => (float[{after}] y)"
    found = reasons(signature, f"y = Transpose <perm = [{perm}]> (x)")
    assert [bool(found)] == [not taken]


@pytest.mark.parametrize(
    ("shape", "taken"),
    [
        ((1, 4, 1, 1), True),
        ((4,), True),  # wrong, but taken: AX213
        ((1,), True),
        ((1, 1, 1, 1), True),
        ((4, 1, 1), False),
        ((1, 1, 1, 4), False),
        ((1, 1, 6, 4), True),  # not folded
    ],
)
def test_constants_that_make_a_matrix_of_the_bias(shape, taken):
    signature = "(float[1,4,6,4] x) => (float[1,4,6,4] y)"
    body = "a = Conv <kernel_shape = [1, 1]> (x, w)\n p = {} (a, k)\n y = Relu (p)"
    for operator in ("Add", "Sub"):
        built = model(signature, body.format(operator), 13, w=(4, 4, 1, 1), k=shape)
        warnings = check(built, resolve_target(None, "2.25", "cpu")).warnings
        assert any(f.rule.startswith("C5") for f in warnings) == (not taken)


def test_a_product_with_tanh_of_its_own_is_not_registered():
    judgement = check(
        model("(float[1,4] x) => (float[1,4] y)", "y = ScaledTanh (x)", 1),
        resolve_target(None, "2.25", "cpu"),
    )
    assert "AX101" in {f.code for f in judgement.errors}


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        ("b = Cast <to = 6> (x)\n y = Cast <to = 1> (b)", False),
        ("y = Cast <to = 1> (x)", False),
        ("r = Relu (x)\n b = Cast <to = 6> (r)\n y = Cast <to = 1> (b)", True),  # and lost: AX207
        ("b = Cast <to = 6> (x)\n c = Cast <to = 1> (b)\n y = Relu (c)", True),
    ],
)
def test_casts_that_have_nothing_to_vanish_into(body, taken):
    found = reasons("(float[1,4,8,8] x) => (float[1,4,8,8] y)", body)
    assert [bool(found)] == [not taken]
