"""Arguments on which the C++ code of onnx crashes, refused before it sees them."""

from __future__ import annotations

import onnx
import pytest

from avatar_export.errors import ModelError
from avatar_export.onnx_file.operands import require_operands
from tests.onnx_file.models import parsed


def graph(node: str) -> str:
    return f"g (float[4] x) => (y) {{ {node} }}"


REFUSED = [
    (graph("y = EyeLike(,)"), "leaves out its input 0"),
    (graph("y = Mul(x,,)"), "leaves out its input 1"),
    (graph("y = LayerNormalization<axis=2147483648>(x, x)"), "has 2147483648 as its axis"),
    (graph("y = Concat<axis=-65>(x)"), "has -65 as its axis"),
    (graph("y = GatherND<batch_dims=-1>(x, x)"), "as its batch_dims"),
    (graph("y = LeakyRelu<alpha: float = @a>(x)"), "takes 'alpha' from a function"),
    (graph("y, a = Split<num_outputs=1>(x)"), "says 1 outputs and has 2"),
    (graph("y = Split<num_outputs=1099511627776>(x)"), "says 1099511627776 outputs and has 1"),
]


@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_what_crashes_is_refused(body: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        require_operands(parsed(body, opset=18))


@pytest.mark.parametrize(
    "node",
    [
        "y = Clip(x,, x)",
        "y = Resize(x,,, x)",
        "y = Softmax<axis=-1>(x)",
        "y, a = Split<num_outputs=2>(x)",
        "y = Unheard(, x)",
        "y = com.example.Mul(x,,)",
    ],
)
def test_what_may_be_left_out_is_not_missed(node: str) -> None:
    require_operands(parsed(graph(node), opset=18))


def test_subgraphs_and_functions_are_looked_into() -> None:
    body = """g (bool b, float[2] x) => (y) {
        y = If(b) <then_branch = t () => (float[2] p) { p = Mul(x,,) },
                   else_branch = e () => (float[2] q) { q = Neg(x) }> }"""
    with pytest.raises(ModelError, match="leaves out its input 1"):
        require_operands(parsed(body))
    function = '<domain: "f", opset_import: ["" : 13]> once (x) => (y) { y = Mul(x,,) }'
    with pytest.raises(ModelError, match="leaves out its input 1"):
        require_operands(parsed(f"{graph('y = f.once(x)')} {function}"))


def test_a_resize_of_set_11_may_leave_out_its_region() -> None:
    text = """<ir_version: 8, opset_import: ["": 11]>
        g (float[1,4,8,8] x) => (float[1,4,16,16] y) <float[4] s = {1, 1, 2, 2}> {
            y = Resize (x, "", s)
        }"""
    require_operands(onnx.parser.parse_model(text))
