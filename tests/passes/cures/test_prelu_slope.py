from __future__ import annotations

import numpy as np
import pytest

from avatar_export.passes.cures.prelu_slope import PreluSlope
from tests.passes.models import applied, initializers, operators, parsed, rewritten, rng, stamps


def model_of(shape: list[int], slope: np.ndarray, opset: int = 13):
    body = f"g (float{shape} x) => (float{shape} y) {{ [act] y = PRelu(x, s) }}"
    return parsed(body, opset, s=slope)


@pytest.mark.parametrize("opset", [9, 13, 16, 21])
@pytest.mark.parametrize(
    ("shape", "spelled"),
    [([1, 4, 5], (1, 5)), ([1, 4, 3, 5], (1, 1, 5)), ([1, 2, 4, 3, 5], (1, 1, 1, 5))],
)
def test_a_slope_along_the_width_gets_its_rank(
    shape: list[int], spelled: tuple[int, ...], opset: int
) -> None:
    proto = model_of(shape, rng(5), opset)
    after, changes = rewritten(PreluSlope(), proto, x=rng(*shape))
    assert operators(after) == ["PRelu"]
    assert initializers(after)[after.graph.node[0].input[1]].shape == spelled
    assert changes == [f"act: slope of shape [5] became {list(spelled)}"]
    assert set(stamps(after).values()) == {"prelu-slope"}


def test_a_slope_of_rank_2_is_written_out() -> None:
    after, changes = rewritten(PreluSlope(), model_of([3, 4], rng(4)), x=rng(3, 4))
    assert operators(after) == ["Neg", "Relu", "Relu", "Mul", "Sub"]
    assert changes == ["act: written out with Relu"]


def test_a_computed_slope_is_reshaped() -> None:
    body = "g (float[1,4,3,5] x, float[5] s) => (float[1,4,3,5] y) { t = Abs(s) y = PRelu(x, t) }"
    feeds = {"x": rng(1, 4, 3, 5), "s": rng(5)}
    after, _ = rewritten(PreluSlope(), parsed(body, 13), **feeds)
    assert operators(after) == ["Abs", "Reshape", "PRelu"]


@pytest.mark.parametrize("slope", [(), (1,), (4, 1, 1), (1, 4, 1, 1), (4, 3, 5), (3, 5)])
def test_slopes_that_are_right_stay(slope: tuple[int, ...]) -> None:
    proto = model_of([1, 4, 3, 5], rng(*slope))
    after, changes = applied(PreluSlope(), proto)
    assert changes == [] and operators(after) == ["PRelu"]
    assert [i.name for i in after.graph.initializer] == ["s"]


def test_a_vector_with_a_slope_each_stays_with_a_note() -> None:
    cure = PreluSlope()
    after, changes = applied(cure, model_of([5], rng(5)))
    assert changes == [] and operators(after) == ["PRelu"]
    assert cure.notes == ["act stays: its input has one axis only"]
