from __future__ import annotations

import numpy as np
import pytest

from avatar_export.passes.cures.topk_smallest import TopkSmallest
from tests.passes.models import applied, attributes, operators, parsed, rewritten, rng

TIES = np.float32([[3, 1, 2, 1, 5, 1], [0, 0, 4, -1, 7, -1]])


def model_of(attributes_text: str = "largest = 0", outputs: str = "v, i", opset: int = 13):
    results = {"v": "float[n,m] v", "i": "int64[n,m] i"}
    found = ", ".join(results[name] for name in outputs.split(", ") if name in results)
    body = f"g (float[2,6] x) => ({found}) {{ [top] {outputs} = TopK<{attributes_text}>(x, k) }}"
    return parsed(body, opset, k=np.array([3]))


@pytest.mark.parametrize("opset", [11, 13, 21])
@pytest.mark.parametrize("form", ["largest = 0", "largest = 0, axis = 0", "largest = 0, axis = -1"])
def test_the_smallest_are_the_largest_of_the_negated(form: str, opset: int) -> None:
    proto = model_of(form, opset=opset)
    if "axis = 0" in form:
        proto.graph.initializer[0].raw_data = np.array([2]).tobytes()
    after, changes = rewritten(TopkSmallest(), proto, x=rng(2, 6))
    assert operators(after) == ["Neg", "TopK", "Neg"]
    assert attributes(after.graph.node[1]).get("largest", 1) == 1
    assert changes == ["top: the largest of the negated values"]


def test_ties_keep_their_indices() -> None:
    rewritten(TopkSmallest(), model_of(), x=TIES)


@pytest.mark.parametrize("outputs", ["v, unused", "unused, i"])
def test_one_result_may_be_unread(outputs: str) -> None:
    after, _ = rewritten(TopkSmallest(), model_of(outputs=outputs), x=rng(2, 6))
    assert "TopK" in operators(after)


def test_the_largest_stay() -> None:
    assert applied(TopkSmallest(), model_of("largest = 1"))[1] == []
    assert applied(TopkSmallest(), model_of("axis = 1"))[1] == []


def test_numbers_without_a_sign_stay_with_a_note() -> None:
    body = "g (uint8[6] x) => (uint8[3] v, int64[3] i) { v, i = TopK<largest = 0>(x, k) }"
    cure = TopkSmallest()
    assert applied(cure, parsed(body, 13, k=np.array([3])))[1] == []
    assert cure.notes == ["v stays: its numbers have no sign"]
