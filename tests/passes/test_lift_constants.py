from __future__ import annotations

import numpy as np

from avatar_export.passes.lift_constants import LiftConstants
from tests.passes.models import initializers, operators, parsed, rewritten, rng

BODY = """g (float[1,2] x) => (float[1,2] y) {
    a = Constant<value = float[1,2] {2.0, 3.0}>()
    b = Constant<value_float = 0.5>()
    c = Constant<value_ints = [1, 2]>()
    p = Mul(x, a)
    q = Add(p, b)
    y = Reshape(q, c)
}"""


def test_constants_of_every_size_and_spelling_become_initializers() -> None:
    after, changes = rewritten(LiftConstants(), parsed(BODY), x=rng(1, 2))
    assert operators(after) == ["Mul", "Add", "Reshape"]
    assert changes == ["3 constants lifted"]
    lifted = initializers(after)
    np.testing.assert_array_equal(lifted["a"], np.float32([[2, 3]]))
    assert lifted["b"].shape == ()
    assert lifted["c"].dtype == np.int64


def test_a_constant_that_is_a_graph_output() -> None:
    body = (
        "g (float[2] x) => (float[2] y, float[2] c) { c = Constant<value = float[2] {1.0, 2.0}>()"
    )
    after, _ = rewritten(LiftConstants(), parsed(body + " y = Add(x, c) }"), x=rng(2))
    assert [v.name for v in after.graph.output] == ["y", "c"]


def test_nothing_to_lift() -> None:
    proto = parsed("g (float[2] x) => (float[2] y) { y = Add(x, w) }", w=[1.0, 2.0])
    after, changes = rewritten(LiftConstants(), proto, x=rng(2))
    assert changes == []
    assert operators(after) == ["Add"]
