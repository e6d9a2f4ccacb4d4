from __future__ import annotations

import numpy as np
import onnx
import pytest

from avatar_export.passes.cures.spell_out_norm import SpellOutNorm
from tests.passes.models import applied, operators, parsed, rewritten, rng, stamps

X = rng(2, 4, 3, 5)


def reduced(operator: str, opset: int, axes: list[int], keepdims: int) -> onnx.ModelProto:
    """x / norm for kept axes, or the norm alone; axes as attribute or input."""
    as_input = opset >= 18
    call = f"{operator}<keepdims = {keepdims}{'' if as_input else f', axes = {axes}'}>"
    arguments = "x, axes" if as_input else "x"
    tail = "y = Div(x, n)" if keepdims else "y = Sqrt(n)"
    body = f"g (float[2,4,3,5] x) => (float[a,b,c,d] y) {{ [n] n = {call}({arguments}) {tail} }}"
    if not keepdims:
        body = body.replace("float[a,b,c,d]", f"float[{','.join('abcd'[: 4 - len(axes)])}]")
    return parsed(body, opset, **({"axes": np.array(axes)} if as_input else {}))


@pytest.mark.parametrize("opset", [9, 12, 13, 17, 18, 21])
@pytest.mark.parametrize("axes", [[1], [1, 3]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_an_l2_norm_is_the_root_of_a_sum(opset: int, axes: list[int], keepdims: int) -> None:
    after, changes = rewritten(SpellOutNorm(), reduced("ReduceL2", opset, axes, keepdims), x=X)
    assert operators(after)[:3] == ["Mul", "ReduceSum", "Sqrt"]
    assert changes == ["n: spelled out as the root of a sum"]
    assert list(stamps(after).values()) == ["spell-out-norm"] * 3


@pytest.mark.parametrize("opset", [9, 13, 18])
def test_an_l1_norm_is_a_sum(opset: int) -> None:
    after, changes = rewritten(SpellOutNorm(), reduced("ReduceL1", opset, [1], 1), x=X)
    assert operators(after) == ["Abs", "ReduceSum", "Div"]
    assert changes == ["n: spelled out as a sum"]


def test_all_axes() -> None:
    body = "g (float[2,4,3,5] x) => (float[1,1,1,1] y) { y = ReduceL2(x) }"
    after, _ = rewritten(SpellOutNorm(), parsed(body, 13), x=X)
    assert operators(after) == ["Mul", "ReduceSum", "Sqrt"]


def test_normalize_as_pytorch_exports_it() -> None:
    body = """g (float[2,4,3,5] x) => (float[2,4,3,5] y) {
        n = ReduceL2<axes = [1], keepdims = 1>(x) c = Clip(n, eps) s = Shape(x)
        e = Expand(c, s) y = Div(x, e)
    }"""
    after, _ = rewritten(SpellOutNorm(), parsed(body, 13, eps=np.float32(1e-6)), x=X)
    assert operators(after) == ["Mul", "ReduceSum", "Sqrt", "Clip", "Shape", "Expand", "Div"]


NORM = "n = ReduceL2<axes = [1], keepdims = 1>(x)"
RIGHT = {
    "divided": f"{NORM} y = Div(x, n)",
    "bounded": f"{NORM} c = Max(n, eps) y = Div(x, c)",
    "expanded": f"{NORM} c = Clip(n, eps) e = Expand(c, s) y = Div(x, e)",
}


@pytest.mark.parametrize("nodes", RIGHT.values(), ids=RIGHT)
def test_a_fused_norm_of_rank_2_stays(nodes: str) -> None:
    body = f"g (float[2,4] x) => (float[2,4] y) {{ {nodes} }}"
    proto = parsed(body, 13, eps=np.float32(1e-6), s=np.array([2, 4]))
    assert applied(SpellOutNorm(), proto)[1] == []


@pytest.mark.parametrize("tail", ["y = Div(n, x)", "y = Mul(x, n)", "z = Abs(x) y = Div(z, n)"])
def test_a_norm_of_rank_2_that_divides_nothing_is_spelled_out(tail: str) -> None:
    body = f"g (float[2,4] x) => (float[2,4] y) {{ {NORM} {tail} }}"
    after, _ = rewritten(SpellOutNorm(), parsed(body, 13), x=X[:, :, 0, 0])
    assert "ReduceL2" not in operators(after)


def test_a_fused_norm_over_the_first_axis_of_rank_2_is_spelled_out() -> None:
    body = "g (float[2,4] x) => (float[2,4] y) { n = ReduceL2<axes = [0]>(x) y = Div(x, n) }"
    after, _ = rewritten(SpellOutNorm(), parsed(body, 13), x=X[:, :, 0, 0])
    assert "ReduceL2" not in operators(after)


def test_a_norm_that_reduces_nothing_stays_with_a_note() -> None:
    body = "g (float[2,4] x) => (float[2,4] y) { y = ReduceL2<noop_with_empty_axes = 1>(x) }"
    cure = SpellOutNorm()
    assert applied(cure, parsed(body, 18))[1] == []
    assert cure.notes == ["y stays: it reduces nothing"]


def test_computed_axes_stay_with_a_note() -> None:
    body = "g (float[2,4] x, int64[1] a) => (float[n,m] y) { y = ReduceL2(x, a) }"
    cure = SpellOutNorm()
    assert applied(cure, parsed(body, 18))[1] == []
    assert cure.notes == ["y stays: its axes are computed"]
