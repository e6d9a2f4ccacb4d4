"""Functions that call themselves, or grow beyond measure."""

from __future__ import annotations

import pytest

from avatar_export.errors import ModelError
from avatar_export.onnx_file import functions
from avatar_export.onnx_file.functions import require_finite
from tests.onnx_file.models import parsed

IF = """y = If(c) <then_branch = t () => (float[2] p) {{ p = f.{0}(c, x) }},
                   else_branch = e () => (float[2] q) {{ q = Neg(x) }}>"""


def model_of(*bodies: str) -> str:
    """Functions f0, f1, ... of these bodies behind a graph that calls f0."""
    texts = ["g (bool c, float[2] x) => (y) { y = f.f0(c, x) }"]
    for index, body in enumerate(bodies):
        head = f'<domain: "f", opset_import: ["" : 13, "f" : 1]> f{index} (c, x) => (y)'
        texts.append(f"{head} {{ {body} }}")
    return " ".join(texts)


@pytest.mark.parametrize(
    "bodies",
    [
        ("y = f.f0(c, x)",),
        ("y = f.f1(c, x)", "y = f.f0(c, x)"),
        (IF.format("f0"),),
    ],
)
def test_recursion(bodies: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="the function 'f0' calls itself"):
        require_finite(parsed(model_of(*bodies)))


def test_doubling_is_stopped_before_it_happens() -> None:
    """30 functions of two calls each stand for a thousand million nodes."""
    twice = [f"a = f.f{i + 1}(c, x) y = f.f{i + 1}(c, a)" for i in range(30)]
    with pytest.raises(ModelError, match="its functions grow to"):
        require_finite(parsed(model_of(*twice, "y = Relu(x)")))


def test_a_large_constant_is_not_multiplied() -> None:
    model = parsed(
        model_of(" ".join(f"a{i} = f.f1(c, x)" for i in range(50)) + " y = Relu(x)", "y = Relu(x)")
    )
    constant = model.functions[1].node.add(op_type="Constant", output=["k"])
    constant.attribute.add(name="value", type=4).t.raw_data = bytes(2**20)
    with pytest.raises(ModelError, match="its functions grow to"):
        require_finite(model)


def test_long_chains_of_calls() -> None:
    length = functions.DEEPEST_CALLS + 1
    chain = [f"y = f.f{i + 1}(c, x)" for i in range(length)]
    with pytest.raises(ModelError, match="more than 100 deep"):
        require_finite(parsed(model_of(*chain, "y = Relu(x)")))


def test_graphs_nested_through_functions() -> None:
    """Written out they would be deeper than protobuf reads."""
    nested = [IF.format(f"f{i + 1}") for i in range(functions.DEEPEST_NESTING + 1)]
    with pytest.raises(ModelError, match="nest more than 30 graphs"):
        require_finite(parsed(model_of(*nested, "y = Relu(x)")))


def test_two_functions_of_one_name() -> None:
    model = parsed(model_of("y = Relu(x)", "y = Relu(x)"))
    model.functions[1].name = "f0"
    with pytest.raises(ModelError, match="the function 'f0' is there twice"):
        require_finite(model)


def test_ordinary_functions_are_fine() -> None:
    require_finite(
        parsed(model_of(IF.format("f1"), "a = f.f2(c, x) y = f.f2(c, a)", "y = Relu(x)"))
    )
