from __future__ import annotations

import numpy as np
import pytest

from avatar_export.passes.cures.plain_norm import PlainNorm
from tests.passes.models import applied, operators, parsed, rewritten, rng

X = rng(2, 4, 3, 5)
EPS, TWO = np.float32(1e-5), np.float32(2)


def model_of(nodes: str, opset: int = 13, **weights: object):
    body = f"g (float[2,4,3,5] x) => (float[2,4,3,5] y) {{ {nodes} }}"
    return parsed(body, opset, **({"eps": EPS, "two": TWO} | weights))


MEAN = "m = ReduceMean<axes = [1], keepdims = 1>(q)"
TAIL = f"{MEAN} e = Add(m, eps) r = Sqrt(e)"
CENTRED = "c = ReduceMean<axes = [2,3], keepdims = 1>(x) d = Sub(x, c)"
CENTRED_TAIL = "v = ReduceMean<axes = [2,3], keepdims = 1>(q) e = Add(v, eps) r = Sqrt(e)"
FUSED = {
    "pixel norm": f"q = Mul(x, x) {TAIL} [n] y = Div(x, r)",
    "pixel norm by Pow": f"q = Pow(x, two) {TAIL} [n] y = Div(x, r)",
    "epsilon first": f"q = Mul(x, x) {MEAN} e = Add(eps, m) r = Sqrt(e) [n] y = Div(x, r)",
    "pixel norm by Reciprocal": f"q = Mul(x, x) {TAIL} i = Reciprocal(r) [n] y = Mul(x, i)",
    "factor first": f"q = Mul(x, x) {TAIL} i = Reciprocal(r) [n] y = Mul(i, x)",
    "instance norm": f"{CENTRED} q = Mul(d, d) {CENTRED_TAIL} [n] y = Div(d, r)",
    "instance norm by Pow": f"{CENTRED} q = Pow(d, two) {CENTRED_TAIL} [n] y = Div(d, r)",
    "instance norm by both": (
        f"{CENTRED} q = Pow(d, two) {CENTRED_TAIL} i = Reciprocal(r) [n] y = Mul(d, i)"
    ),
}


@pytest.mark.parametrize("opset", [9, 13, 17])
@pytest.mark.parametrize("nodes", FUSED.values(), ids=FUSED)
def test_a_division_by_a_root_becomes_a_power(nodes: str, opset: int) -> None:
    after, changes = rewritten(PlainNorm(), model_of(nodes, opset), x=X)
    assert operators(after)[-3:] == ["Add", "Pow", "Mul"]
    assert not {"Sqrt", "Reciprocal", "Div"} & set(operators(after))
    assert changes == ["n: multiplied with a power"]


PLAIN = {
    "a power already": f"q = Mul(x, x) {MEAN} e = Add(m, eps) r = Pow(e, half) y = Mul(x, r)",
    "epsilon behind the root": (f"q = Mul(x, x) {MEAN} s = Sqrt(m) r = Add(s, eps) y = Div(x, r)"),
    "Pow and Reciprocal": f"q = Pow(x, two) {TAIL} i = Reciprocal(r) y = Mul(x, i)",
    "another power": f"q = Pow(x, eps) {TAIL} y = Div(x, r)",
    "another tensor divided": f"z = Abs(x) q = Mul(x, x) {TAIL} y = Div(z, r)",
    "a product of two": f"z = Abs(x) q = Mul(x, z) {TAIL} y = Div(x, r)",
    "a sum": "q = Mul(x, x) m = ReduceMax<axes = [1]>(q) e = Add(m, eps) r = Sqrt(e) y = Div(x, r)",
    "the root divided": f"q = Mul(x, x) {TAIL} y = Div(r, x)",
}


@pytest.mark.parametrize("nodes", PLAIN.values(), ids=PLAIN)
def test_what_stays_plain_stays(nodes: str) -> None:
    proto = model_of(nodes, half=np.float32(-0.5))
    assert applied(PlainNorm(), proto)[1] == []


def group_norm(tail: str = "y = Mul(n, w)", opset: int = 13, **weights: object):
    nodes = f"""r = Reshape(x, to) [norm] i = InstanceNormalization<epsilon = 0.001>(r, s, b)
        n = Reshape(i, back) {tail}"""
    shapes = {"to": np.array([0, 2, -1]), "back": np.array([2, 4, 3, 5])}
    numbers = {"s": np.ones(2, np.float32), "b": np.zeros(2, np.float32), "w": rng(4, 1, 1)}
    return model_of(nodes, opset, **(shapes | numbers | weights))


@pytest.mark.parametrize("opset", [9, 13, 18, 21])
def test_a_group_norm_is_spelled_out(opset: int) -> None:
    after, changes = rewritten(PlainNorm(), group_norm(opset=opset), x=X)
    assert operators(after) == (
        ["Reshape", "ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Pow", "Mul", "Reshape", "Mul"]
    )
    assert changes == ["norm: spelled out"]


def test_scale_and_bias_of_the_groups_are_kept() -> None:
    after, _ = rewritten(PlainNorm(), group_norm(s=rng(2), b=rng(2, seed=1)), x=X)
    assert operators(after)[-5:] == ["Mul", "Mul", "Add", "Reshape", "Mul"]


def test_an_instance_norm_stays() -> None:
    weights = {"s": rng(4), "b": rng(4)}
    assert applied(PlainNorm(), model_of("y = InstanceNormalization(x, s, b)", **weights))[1] == []


def test_one_that_does_not_come_back_to_its_shape_stays() -> None:
    proto = group_norm("y = Reshape(n, end)", back=np.array([2, 2, 30]), end=np.array([2, 4, 3, 5]))
    assert applied(PlainNorm(), proto)[1] == []
