from __future__ import annotations

import pytest

from avatar_export.passes.cures.single_input import SingleInput
from tests.passes.models import applied, operators, parsed, rewritten, rng


def model_of(nodes: str, opset: int = 13):
    return parsed(f"g (float[2,3] x) => (float[2,3] y) {{ {nodes} }}", opset)


@pytest.mark.parametrize("opset", [9, 13, 21])
@pytest.mark.parametrize("operator", ["Max", "Mean", "Min", "Sum"])
def test_one_operand_is_the_result(operator: str, opset: int) -> None:
    proto = model_of(f"a = Relu(x) [n] b = {operator}(a) y = Abs(b)", opset)
    after, changes = rewritten(SingleInput(), proto, x=rng(2, 3))
    assert operators(after) == ["Relu", "Abs"]
    assert changes == ["n: removed"]


def test_between_input_and_output_an_identity_remains() -> None:
    after, _ = rewritten(SingleInput(), model_of("y = Max(x)"), x=rng(2, 3))
    assert operators(after) == ["Identity"]


def test_two_operands_stay() -> None:
    assert applied(SingleInput(), model_of("y = Max(x, x)"))[1] == []
