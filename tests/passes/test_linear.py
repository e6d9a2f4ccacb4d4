from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from avatar_export.passes.linear import Linear, linear, linear_of
from tests.passes.models import loaded, parsed, rng

NUMBERS = {"w": rng(4, 5), "b": rng(5), "wide": rng(2, 3, 5), "v": rng(4)}


def read(body: str, y: str = "A,B") -> tuple[ir.Model, Linear | None]:
    model = loaded(parsed(f"g (float[3,4] x) => (float[{y}] y) {{ {body} }}", **NUMBERS))
    return model, linear(model.graph.node(0))


@pytest.mark.parametrize(
    ("body", "names", "bias"),
    [
        ("y = Gemm(x, w, b)", ["y"], True),
        ("y = MatMul(x, w)", ["y"], False),
        ("p = MatMul(x, w) y = Add(p, b)", ["p", "y"], True),
        ("p = MatMul(x, w) y = Add(b, p)", ["p", "y"], True),
        ("p = MatMul(x, w) r = Relu(p) y = Add(r, b)", ["p"], False),
        ("p = MatMul(x, w) y = Add(p, p)", ["p"], False),
    ],
)
def test_which_nodes_belong_together(body: str, names: list[str], bias: bool) -> None:
    _, found = read(body)
    assert found is not None
    assert [node.outputs[0].name for node in found.nodes] == names
    assert (found.bias is not None) is bias
    again = linear_of(found.output)
    assert again is not None
    assert again.nodes == found.nodes


def test_an_add_that_makes_the_product_larger_is_no_bias() -> None:
    _, found = read("p = MatMul(x, w) y = Add(p, wide)", "A,B,C")
    assert found is not None
    assert len(found.nodes) == 1


def test_a_product_that_others_read_keeps_its_add_apart() -> None:
    body = "g (float[3,4] x) => (float[3,5] y, float[3,5] p) { p = MatMul(x, w) y = Add(p, b) }"
    model = loaded(parsed(body, **NUMBERS))
    found = linear(model.graph.node(0))
    assert found is not None
    assert len(found.nodes) == 1
    assert linear_of(model.graph.node(1).outputs[0]) is None


@pytest.mark.parametrize(
    ("body", "y"),
    [
        ("y = MatMul(x, v)", "A"),
        ("u = Relu(w) y = MatMul(x, u)", "A,B"),
        ("c = Relu(b) y = Gemm(x, w, c)", "A,B"),
        ("y = custom.MatMul(x, w)", "A,B"),
        ("y = Relu(x)", "A,B"),
    ],
    ids=["a vector", "computed weight", "computed bias", "somebody else's", "no product"],
)
def test_what_is_not_read_as_a_product(body: str, y: str) -> None:
    model = loaded(parsed(f"g (float[3,4] x) => (float[{y}] y) {{ {body} }}", **NUMBERS))
    assert [linear(node) for node in model.graph] == [None] * model.graph.num_nodes()


def test_a_size_that_is_not_known() -> None:
    model = loaded(parsed("g (float[N,4] x) => (float[N,5] y) { y = MatMul(x, w) }", **NUMBERS))
    assert linear(model.graph.node(0)) is None


def test_numbers_of_a_gemm_hold_its_factors() -> None:
    body = "g (float[3,5] x) => (float[3,4] y) {"
    body += "y = Gemm<alpha = 0.5, beta = 2.0, transB = 1>(x, w, v) }"
    found = linear(loaded(parsed(body, **NUMBERS)).graph.node(0))
    assert found is not None
    assert found.bias is not None
    np.testing.assert_array_equal(found.weight, 0.5 * NUMBERS["w"].T.astype(np.float64))
    np.testing.assert_array_equal(found.bias, 2.0 * NUMBERS["v"].astype(np.float64))
