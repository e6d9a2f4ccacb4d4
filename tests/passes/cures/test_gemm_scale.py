from __future__ import annotations

import numpy as np
import pytest

from avatar_export.passes.cures.gemm_scale import GemmScale
from tests.passes.models import applied, attributes, initializers, operators, parsed, rewritten, rng

X = rng(3, 4)


def model_of(attributes_text: str, inputs: str = "x, w, c", opset: int = 13, **weights: object):
    body = f"g (float[3,4] x) => (float[3,5] y) {{ [fc] y = Gemm<{attributes_text}>({inputs}) }}"
    return parsed(body, opset, **({"w": rng(4, 5), "c": rng(5, seed=1)} | weights))


@pytest.mark.parametrize("opset", [9, 11, 13, 21])
@pytest.mark.parametrize(
    ("factors", "done"),
    [
        ("alpha = 0.5", "alpha moved into an operand"),
        ("beta = 2.0", "beta moved into an operand"),
        ("alpha = 0.5, beta = 0.0", "alpha moved into an operand, beta moved into an operand"),
    ],
)
def test_factors_go_into_constants(factors: str, done: str, opset: int) -> None:
    after, changes = rewritten(GemmScale(), model_of(factors, opset=opset), x=X)
    assert operators(after) == ["Gemm"]
    assert attributes(after.graph.node[0]) == {}
    assert changes == [f"fc: {done}"]


def test_transposition_stays() -> None:
    after, _ = rewritten(GemmScale(), model_of("alpha = 0.5, transB = 1", w=rng(5, 4)), x=X)
    assert attributes(after.graph.node[0]) == {"transB": 1}


def test_a_constant_first_operand_takes_alpha() -> None:
    body = "g (float[4,5] x) => (float[3,5] y) { y = Gemm<alpha = 0.5>(a, x) }"
    after, _ = rewritten(GemmScale(), parsed(body, 13, a=rng(3, 4)), x=rng(4, 5))
    assert operators(after) == ["Gemm"]


def test_factors_of_computed_operands_are_multiplied() -> None:
    body = """g (float[3,4] x, float[4,5] w, float[5] c) => (float[3,5] y) {
        y = Gemm<alpha = 0.5, beta = 3.0>(x, w, c)
    }"""
    feeds = {"x": X, "w": rng(4, 5), "c": rng(5)}
    after, _ = rewritten(GemmScale(), parsed(body, 13), **feeds)
    assert operators(after) == ["Mul", "Mul", "Gemm"]


@pytest.mark.parametrize(
    ("bias", "spread"),
    [
        (np.array(0.5, np.float32), (5,)),
        (rng(1), (5,)),
        (rng(1, 1), (5,)),
        (rng(3, 1), (3, 5)),
    ],
)
def test_a_narrow_bias_is_spread(bias: np.ndarray, spread: tuple[int, ...]) -> None:
    after, changes = rewritten(GemmScale(), model_of("beta = 0.5", c=bias), x=X)
    assert initializers(after)[after.graph.node[0].input[2]].shape == spread
    assert changes == ["fc: beta moved into an operand, bias spread over the columns"]


@pytest.mark.parametrize("shape", ["float", "float[1]", "float[3,1]"])
def test_a_computed_narrow_bias_is_expanded(shape: str) -> None:
    body = f"g (float[3,4] x, {shape} c) => (float[3,5] y) {{ y = Gemm(x, w, c) }}"
    bias = rng(*{"float": (), "float[1]": (1,), "float[3,1]": (3, 1)}[shape])
    proto = parsed(body, 13, w=rng(4, 5))
    after, _ = rewritten(GemmScale(), proto, x=X, c=np.asarray(bias, np.float32))
    assert operators(after)[-2:] == ["Expand", "Gemm"]


def test_a_factor_of_nothing_goes() -> None:
    after, changes = rewritten(GemmScale(), model_of("beta = 0.5", "x, w"), x=X)
    assert attributes(after.graph.node[0]) == {}
    assert changes == ["fc: factor of nothing removed"]


@pytest.mark.parametrize("bias", [rng(5), rng(1, 5), rng(3, 5)])
def test_what_is_right_stays(bias: np.ndarray) -> None:
    assert applied(GemmScale(), model_of("alpha = 1.0, transA = 0", c=bias))[1] == []


def test_one_column_needs_no_spreading() -> None:
    body = "g (float[3,4] x) => (float[3,1] y) { y = Gemm(x, w, c) }"
    assert applied(GemmScale(), parsed(body, 13, w=rng(4, 1), c=rng(1)))[1] == []


def test_an_open_result_stays_with_a_note() -> None:
    body = "g (float[N,4] x) => (float[N,5] y) { y = Gemm(x, w, c) }"
    cure = GemmScale()
    assert applied(cure, parsed(body, 13, w=rng(4, 5), c=rng(1)))[1] == []
    assert cure.notes == ["y stays: the shape of its result is not fixed"]
