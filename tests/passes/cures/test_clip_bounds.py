from __future__ import annotations

import numpy as np
import pytest

from avatar_export.passes.cures.clip_bounds import ClipBounds
from tests.passes.models import applied, attributes, initializers, operators, parsed, rewritten, rng

X = 3 * rng(1, 2, 3, 4)
LOW, HIGH = np.float32(-1), np.float32(2)


def model_of(nodes: str, opset: int = 13, **bounds: object):
    body = f"g (float[1,2,3,4] x) => (float[1,2,3,4] y) {{ {nodes} }}"
    return parsed(body, opset, **({"lo": LOW, "hi": HIGH} | bounds))


PAIRS = {
    "Min of Max": "m = Max(x, lo) [n] y = Min(m, hi)",
    "Min of Max, constants first": "m = Max(lo, x) [n] y = Min(hi, m)",
    "Max of Min": "m = Min(x, hi) [n] y = Max(m, lo)",
}


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 21])
@pytest.mark.parametrize("nodes", PAIRS.values(), ids=PAIRS)
def test_two_bounds_become_a_clip(nodes: str, opset: int) -> None:
    after, changes = rewritten(ClipBounds(), model_of(nodes, opset), x=X)
    assert operators(after) == ["Clip"]
    assert changes == ["n: one Clip from -1 to 2"]
    if opset < 11:
        assert attributes(after.graph.node[0]) == {"min": -1, "max": 2}
    else:
        assert sorted(initializers(after).values()) == [-1, 2]


def test_equal_bounds() -> None:
    after, _ = rewritten(ClipBounds(), model_of(PAIRS["Max of Min"], lo=HIGH), x=X)
    assert operators(after) == ["Clip"]


def test_a_lower_bound_above_the_upper_one() -> None:
    low = {"lo": np.float32(5)}
    after, _ = rewritten(ClipBounds(), model_of(PAIRS["Min of Max"], **low), x=X)
    assert operators(after) == ["Clip"]
    assert applied(ClipBounds(), model_of(PAIRS["Max of Min"], **low))[1] == []


def test_an_inner_result_with_other_readers_stays_for_them() -> None:
    nodes = "m = Max(x, lo) n = Min(m, hi) y = Add(m, n)"
    after, _ = rewritten(ClipBounds(), model_of(nodes), x=X)
    assert operators(after) == ["Max", "Clip", "Add"]


def test_integers() -> None:
    body = "g (int32[4] x) => (int32[4] y) { m = Max(x, lo) y = Min(m, hi) }"
    bounds = {"lo": np.array(0, np.int32), "hi": np.array(3, np.int32)}
    feeds = {"x": np.array([-2, 1, 3, 9], np.int32)}
    after, _ = rewritten(ClipBounds(), parsed(body, 13, **bounds), **feeds)
    assert operators(after) == ["Clip"]


OTHERS = {
    "one bound": "y = Max(x, lo)",
    "twice the same": "m = Max(x, lo) y = Max(m, hi)",
    "a bound a channel": "m = Max(x, wide) y = Min(m, hi)",
    "a computed bound": "b = Abs(x) m = Max(x, b) y = Min(m, hi)",
    "three operands": "m = Max(x, lo) y = Min(m, hi, hi)",
}


@pytest.mark.parametrize("nodes", OTHERS.values(), ids=OTHERS)
def test_others_stay(nodes: str) -> None:
    assert applied(ClipBounds(), model_of(nodes, wide=rng(2, 1, 1)))[1] == []


def test_a_bound_that_adds_an_axis_stays_with_a_note() -> None:
    body = "g (float[3] x) => (float[1,3] y) { m = Max(x, lo) y = Min(m, hi) }"
    cure = ClipBounds()
    proto = parsed(body, 13, lo=np.float32([[0]]), hi=HIGH)
    assert applied(cure, proto)[1] == []
    assert cure.notes == ["y stays: a bound has more axes than its input"]
