from __future__ import annotations

import numpy as np
import pytest

from avatar_export.passes.cures.gelu_division import GeluDivision
from tests.passes.models import applied, initializers, operators, parsed, rewritten, rng

X = rng(1, 2, 3, 4)
NUMBERS = {
    "inverse": np.float32(0.70710677),
    "one": np.float32(1),
    "half": np.float32(0.5),
    "other": np.float32(0.7),
}
ORDERS = {
    "half last": "m = Mul(x, o) y = Mul(m, half)",
    "half first": "h = Mul(half, x) y = Mul(h, o)",
    "half in the middle": "h = Mul(o, half) y = Mul(x, h)",
}


def model_of(nodes: str, opset: int = 13):
    body = f"g (float[1,2,3,4] x) => (float[1,2,3,4] y) {{ {nodes} }}"
    return parsed(body, opset, **NUMBERS)


@pytest.mark.parametrize("opset", [9, 13, 21])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("product", ["Mul(x, inverse)", "Mul(inverse, x)"])
def test_a_product_becomes_a_division(product: str, order: str, opset: int) -> None:
    proto = model_of(f"[scaled] s = {product} e = Erf(s) o = Add(e, one) {order}", opset)
    after, changes = rewritten(GeluDivision(), proto, x=X)
    assert operators(after)[:3] == ["Div", "Erf", "Add"]
    assert initializers(after)[after.graph.node[0].input[1]] == np.float32(np.sqrt(2))
    assert changes == ["scaled: a division by a root of two"]


OTHERS = {
    "no Erf": "s = Mul(x, inverse) y = Relu(s)",
    "Erf alone": "s = Mul(x, inverse) y = Erf(s)",
    "another sum": "s = Mul(x, inverse) e = Erf(s) o = Add(e, half) y = Mul(x, o)",
    "no product": "s = Mul(x, inverse) e = Erf(s) o = Add(e, one) y = Add(x, o)",
    "another factor": "s = Mul(x, other) e = Erf(s) o = Add(e, one) y = Mul(x, o)",
    "a division already": "s = Div(x, inverse) e = Erf(s) o = Add(e, one) y = Mul(x, o)",
}


@pytest.mark.parametrize("nodes", OTHERS.values(), ids=OTHERS)
def test_others_stay(nodes: str) -> None:
    assert applied(GeluDivision(), model_of(nodes))[1] == []
