from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.goal import FEWEST_MACS
from avatar_export.passes.pipeline import infer_shapes
from tests.passes.models import parsed, rng

BODY = """g (float[1,3,4,4] x) => (float[1,2,4,4] y) {
    c = Conv(x, w)
    y = Relu(c)
}"""


def nodes() -> list[ir.Node]:
    model = ir.from_proto(parsed(BODY, w=rng(2, 3, 1, 1)))
    infer_shapes(model)
    return list(model.graph)


def test_multiply_adds_come_first() -> None:
    conv, relu = nodes()
    assert FEWEST_MACS.price([conv]) > FEWEST_MACS.price([relu])


def test_of_equal_sums_the_shorter_is_cheaper() -> None:
    conv, relu = nodes()
    assert FEWEST_MACS.price([conv, relu]) > FEWEST_MACS.price([conv])


def test_it_refuses_nothing() -> None:
    assert FEWEST_MACS.refusal(nodes(), nodes()) == ""
    assert FEWEST_MACS.upsample is None
