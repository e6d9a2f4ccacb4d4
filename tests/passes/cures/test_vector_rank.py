from __future__ import annotations

import numpy as np
import onnx
import pytest

from avatar_export.passes.cures.vector_rank import VectorRank
from tests.passes.models import applied, initializers, parsed, rewritten, rng, stamps


def model_of(node: str, shape: list[int], opset: int = 13, **weights: object) -> onnx.ModelProto:
    body = f"g (float{shape} x) => (float{shape} y) {{ [n] y = {node} }}"
    return parsed(body, opset, **weights)


@pytest.mark.parametrize("opset", [9, 13, 21])
@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("shape", "spelled"),
    [
        ([1, 4, 4], [1, 4, 4]),
        ([1, 4, 3, 4], [1, 1, 3, 4]),
        ([1, 4, 1, 4], [1, 4, 1, 4]),
        ([1, 4, 2, 3, 4], [1, 1, 1, 3, 4]),
    ],
)
def test_a_vector_along_the_width_is_repeated(
    shape: list[int], spelled: list[int], first: bool, operator: str, opset: int
) -> None:
    node = f"{operator}(v, x)" if first else f"{operator}(x, v)"
    after, changes = rewritten(VectorRank(), model_of(node, shape, opset, v=rng(4)), x=rng(*shape))
    assert [list(array.shape) for array in initializers(after).values()] == [spelled]
    assert changes == [f"n: vector of shape [4] became {spelled}"]
    assert stamps(after) == {"n": "vector-rank"}


def test_a_vector_that_others_read_keeps_its_shape_for_them() -> None:
    body = """g (float[1,4,3,4] x, float[2,4] z) => (float[1,4,3,4] y, float[2,4] w) {
        y = Add(x, v) w = Add(z, v)
    }"""
    feeds = {"x": rng(1, 4, 3, 4), "z": rng(2, 4)}
    after, _ = rewritten(VectorRank(), parsed(body, 13, v=rng(4)), **feeds)
    assert {array.ndim for array in initializers(after).values()} == {1, 4}


OTHERS = {
    "another width": ("Add(x, v)", [1, 3, 2, 4], rng(4)),
    "a channel vector": ("Add(x, v)", [1, 4, 3, 4], rng(4, 1, 1)),
    "one number": ("Add(x, v)", [1, 1, 3, 1], rng(1)),
    "rank 2": ("Add(x, v)", [4, 4], rng(4)),
    "another operator": ("Pow(x, v)", [1, 4, 3, 4], np.abs(rng(4))),
}


@pytest.mark.parametrize("case", OTHERS.values(), ids=OTHERS)
def test_others_stay(case: tuple[str, list[int], np.ndarray]) -> None:
    node, shape, vector = case
    assert applied(VectorRank(), model_of(node, shape, v=vector))[1] == []


def test_a_fed_vector_stays() -> None:
    body = "g (float[1,4,3,4] x, float[4] v) => (float[1,4,3,4] y) { y = Add(x, v) }"
    assert applied(VectorRank(), parsed(body, 13))[1] == []
