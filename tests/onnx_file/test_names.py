"""Names of tensors: written once, before they are read, in every scope."""

from __future__ import annotations

import pytest

from avatar_export.errors import ModelError
from avatar_export.onnx_file.names import require_resolved
from tests.onnx_file.models import parsed

BRANCHES = """y = If(b) <then_branch = t () => (float[2] p) {{ {then} }},
                   else_branch = e () => (float[2] q) {{ q = Neg(x) }}>"""


def branches(then: str, rest: str = "") -> str:
    body = BRANCHES.format(then=then)
    return f"g (bool b, float[2] x) => (float[2] y) {{ {body} {rest} }}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("g (float[2] x) => (y) { y = Relu(z) }", r"node '' \('Relu'\) reads 'z', which nothing"),
        ("g (float[2] x) => (z) { y = Relu(x) }", "nothing writes the output 'z'"),
        ("g (float[2] x) => (y) { y = Relu(x) y = Neg(x) }", "writes 'y', which is there"),
        ("g (float[2] x) => (y) { y = Relu(x) x = Neg(y) }", "writes 'x', which is there"),
        ("g (float[2] x) => (y) { y = Relu(a) a = Neg(x) }", "reads 'a' before it is written"),
        ("g (float[2] x) => (y) { y = Relu(a) a = Neg(y) }", "reads 'a' before it is written"),
        ("g (float[2] x) => (y) { y = Add(x, y) }", "reads 'y' before it is written"),
        ("g (float[2] x, float[2] x) => (y) { y = Relu(x) }", "2 inputs of the name 'x'"),
        (branches("p = Relu(z)"), "reads 'z', which nothing"),
        (branches("p = Relu(a)", "a = Neg(x)"), "reads 'a', which nothing"),
        (branches("a = Relu(x)"), "nothing writes the output 'p'"),
        (branches("p = Relu(x)", "z = Neg(p)"), "reads 'p', which nothing"),
    ],
)
def test_names_that_lead_nowhere(body: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        require_resolved(parsed(body))


@pytest.mark.parametrize(
    "body",
    [
        "g (float[2] x) => (x) { y = Relu(x) }",
        "g (float[2] x) => (y) { y = Clip(x, , x) }",
        "g (float[2] x) => (y) { y, = Dropout(x) }",
        branches("a = Neg(x) p = Relu(a)", "a = Neg(x)"),
        branches("p = Relu(x)", "p = Neg(x)"),
    ],
)
def test_names_that_are_found(body: str) -> None:
    require_resolved(parsed(body))


def test_initializers_are_there_once() -> None:
    model = parsed("g (float[2] x) => (y) { y = Add(x, w) }")
    model.graph.initializer.add(name="w")
    require_resolved(model)
    model.graph.initializer.add(name="w")
    with pytest.raises(ModelError, match="2 initializers of the name 'w'"):
        require_resolved(model)


def test_old_models_repeat_initializers_as_inputs() -> None:
    model = parsed("g (float[2] x, float[2] w) => (y) { y = Add(x, w) }")
    model.graph.initializer.add(name="w")
    require_resolved(model)


@pytest.mark.parametrize(
    ("body", "message"),
    [("y = Relu(z)", "reads 'z'"), ("z = Relu(x)", "nothing writes the output 'y'")],
)
def test_functions_see_their_own_names_only(body: str, message: str) -> None:
    model = parsed(f"""g (float[2] x, float[2] z) => (y) {{ y = f.once(x) }}
        <domain: "f", opset_import: ["" : 13]> once (x) => (y) {{ {body} }}""")
    with pytest.raises(ModelError, match=message):
        require_resolved(model)
