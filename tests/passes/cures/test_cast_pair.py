from __future__ import annotations

import numpy as np
import pytest

from avatar_export.passes.cures.cast_pair import CastPair
from tests.passes.models import applied, operators, parsed, rewritten

FLOAT, INT32, INT64, BOOL, HALF, DOUBLE, INT8 = 1, 6, 7, 9, 10, 11, 3
X = np.float32([-2.5, -1, -0.5, -0.0, 0, 0.25, 0.999, 1, 2.75, 1e6 + 0.5])


def model_of(there: int, back: int = FLOAT, before: str = "a = Identity(x)", opset: int = 13):
    kind = {FLOAT: "float", DOUBLE: "double"}[back]
    body = f"""g (float[10] x) => ({kind}[10] y) {{
        {before} b = Cast<to = {there}>(a) [back] y = Cast<to = {back}>(b)
    }}"""
    return parsed(body, opset)


@pytest.mark.parametrize("opset", [9, 13, 21])
@pytest.mark.parametrize("there", [INT32, INT64])
def test_truncation_is_written_with_floor(there: int, opset: int) -> None:
    after, changes = rewritten(CastPair(), model_of(there, opset=opset), x=X)
    assert operators(after)[1:] == ["Relu", "Floor", "Neg", "Relu", "Floor", "Sub"]
    assert changes == ["back: truncation written with Floor"]


@pytest.mark.parametrize("opset", [9, 13, 21])
@pytest.mark.parametrize("back", [FLOAT, DOUBLE])
def test_a_mask_is_written_with_a_comparison(back: int, opset: int) -> None:
    after, changes = rewritten(CastPair(), model_of(BOOL, back, opset=opset), x=X)
    assert operators(after)[1:] == ["Abs", "Greater", "Cast"]
    assert changes == ["back: mask written with Greater"]


LEFT = {
    "half": (model_of(HALF), "rounding to half has no other spelling"),
    "another end": (
        model_of(INT32, DOUBLE),
        "it ends in another float type than it begins with",
    ),
}


@pytest.mark.parametrize("case", LEFT.values(), ids=LEFT)
def test_what_has_no_other_spelling_stays_with_a_note(case: tuple) -> None:
    proto, reason = case
    cure = CastPair()
    assert applied(cure, proto)[1] == []
    assert cure.notes == [f"back stays: {reason}"]


def test_integers_that_others_read_stay_for_them() -> None:
    body = """g (float[10] x) => (float[10] y, int32[10] b) {
        b = Cast<to = 6>(x) y = Cast<to = 1>(b)
    }"""
    after, _ = rewritten(CastPair(), parsed(body, 13), x=X)
    assert operators(after)[0] == "Cast" and operators(after).count("Cast") == 1


@pytest.mark.parametrize(
    "proto",
    [
        model_of(INT32, before="a = Floor(x)"),
        model_of(DOUBLE),
        model_of(INT8),
        model_of(FLOAT),
    ],
    ids=["whole already", "double", "wraps around", "no change"],
)
def test_other_pairs_stay(proto: object) -> None:
    cure = CastPair()
    assert applied(cure, proto)[1] == [] and list(cure.notes) == []  # type: ignore[arg-type]


def test_casts_with_something_between_stay() -> None:
    body = "g (float[10] x) => (float[10] y) { b = Cast<to=6>(x) c = Abs(b) y = Cast<to=1>(c) }"
    cure = CastPair()
    assert applied(cure, parsed(body, 13))[1] == [] and list(cure.notes) == []


def test_integers_that_become_floats_and_back_stay() -> None:
    body = "g (int64[10] x) => (float[10] y) { b = Cast<to=6>(x) y = Cast<to=1>(b) }"
    cure = CastPair()
    assert applied(cure, parsed(body, 13))[1] == [] and list(cure.notes) == []
