from __future__ import annotations

import numpy as np
import pytest

from avatar_export.passes.cures.scalar_operand import ScalarOperand
from tests.passes.models import applied, operators, parsed, rewritten, rng, stamps

FEEDS = {"x": rng(1, 2, 3, 4), "s": np.array(1.5, np.float32)}


def model_of(node: str, opset: int = 13, result: str = "float[1,2,3,4] y"):
    body = f"g (float[1,2,3,4] x, float s) => ({result}) {{ [n] {node} }}"
    return parsed(body, opset, c=np.array(2, np.float32))


@pytest.mark.parametrize("opset", [9, 13, 21])
@pytest.mark.parametrize("node", ["y = Mul(x, s)", "y = Sub(s, x)", "y = Max(x, s)"])
def test_a_scalar_gets_one_axis(node: str, opset: int) -> None:
    after, changes = rewritten(ScalarOperand(), model_of(node, opset), **FEEDS)
    assert operators(after)[0] == "Reshape" and len(operators(after)) == 2
    assert changes == ["n: its scalar operand got one axis"]
    assert set(stamps(after).values()) == {"scalar-operand"}


def test_a_comparison() -> None:
    proto = model_of("y = Greater(x, s)", result="bool[1,2,3,4] y")
    after, _ = rewritten(ScalarOperand(), proto, **FEEDS)
    assert operators(after) == ["Reshape", "Greater"]


def test_a_computed_scalar() -> None:
    body = (
        "g (float[1,2,3,4] x) => (float[1,2,3,4] y) { m = ReduceMax<keepdims=0>(x) y = Div(x, m) }"
    )
    after, _ = rewritten(ScalarOperand(), parsed(body, 13), x=FEEDS["x"])
    assert operators(after) == ["ReduceMax", "Reshape", "Div"]


@pytest.mark.parametrize("node", ["y = Mul(x, c)", "t = Add(s, s) y = Expand(t, d)"])
def test_constants_and_scalars_among_themselves_stay(node: str) -> None:
    proto = model_of(node)
    proto.graph.initializer.append(
        parsed("g () => () {}", 13, d=np.array([1, 2, 3, 4])).graph.initializer[0]
    )
    assert applied(ScalarOperand(), proto)[1] == []
