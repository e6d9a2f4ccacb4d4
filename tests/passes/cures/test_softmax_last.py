from __future__ import annotations

import pytest

from avatar_export.passes.cures.softmax_last import SoftmaxLast
from tests.passes.models import applied, attributes, operators, parsed, rewritten, rng


def model_of(axis: int, shape: str = "[2,3,4,5]", node: str = "Softmax", opset: int = 13):
    body = f"g (float{shape} x) => (float{shape} y) {{ [s] y = {node}<axis = {axis}>(x) }}"
    return parsed(body, opset)


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("node", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [2, -2])
def test_rows_go_to_the_end_and_back(axis: int, node: str, opset: int) -> None:
    after, changes = rewritten(
        SoftmaxLast(), model_of(axis, node=node, opset=opset), x=rng(2, 3, 4, 5)
    )
    assert operators(after) == ["Transpose", node, "Transpose"]
    assert attributes(after.graph.node[1])["axis"] == -1
    assert changes == ["s: axis 2 is the last one while it runs"]


@pytest.mark.parametrize("axis", [2, 3])
def test_inner_axes_of_rank_5(axis: int) -> None:
    proto = model_of(axis, "[1,2,3,4,5]")
    after, _ = rewritten(SoftmaxLast(), proto, x=rng(1, 2, 3, 4, 5))
    assert operators(after) == ["Transpose", "Softmax", "Transpose"]


@pytest.mark.parametrize(
    "proto",
    [model_of(1), model_of(3), model_of(-1), model_of(1, "[2,3,4]"), model_of(2, opset=11)],
    ids=["channel", "last", "last from the back", "rank 3", "set 11"],
)
def test_what_is_right_stays(proto: object) -> None:
    assert applied(SoftmaxLast(), proto)[1] == []  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [[2, 3], [2, 3, 4, 5]])
def test_the_first_axis(shape: list[int]) -> None:
    after, _ = rewritten(SoftmaxLast(), model_of(0, str(shape)), x=rng(*shape))
    assert operators(after) == ["Transpose", "Softmax", "Transpose"]


def test_inside_a_network_it_stays() -> None:
    body = "g (float[2,3,4,5] x) => (float[2,3,4,5] y) { s = Softmax<axis = 2>(x) y = Relu(s) }"
    assert applied(SoftmaxLast(), parsed(body, 13))[1] == []
