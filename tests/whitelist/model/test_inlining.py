"""Local functions are written out, within bounds."""

from __future__ import annotations

import onnx
import pytest

from avatar_export.errors import ModelError
from avatar_export.whitelist.model.inlining import expanded_size
from avatar_export.whitelist.view import ModelView

HEAD = '<ir_version: 8, opset_import: ["" : 13, "f" : 1]> g (float[2,3] x) => (y) { y = f.F0 (x) }'
FUNCTION = '<domain: "f", opset_import: ["" : 13, "f" : 1]> F{0} (x) => (y) {{ {1} }}'


def parsed(*bodies: str) -> onnx.ModelProto:
    functions = (FUNCTION.format(i, body) for i, body in enumerate(bodies))
    return onnx.parser.parse_model("\n".join((HEAD, *functions)))


def doubled(count: int) -> onnx.ModelProto:
    calls = (f"a = f.F{i + 1} (x) y = f.F{i + 1} (a)" for i in range(count))
    return parsed(*calls, "y = Relu (x)")


def test_functions_are_written_out():
    view = ModelView(parsed("a = f.F1 (x) y = Transpose (a)", "y = Relu (x)"))
    assert [n.operator for n in view.nodes] == ["Relu", "Transpose"]
    assert view.shape("y") == (3, 2)


def test_size_after_expansion():
    assert expanded_size(doubled(5)) == 32
    assert expanded_size(parsed("y = Relu (x)")) == 1


def test_functions_that_grow_without_bound():
    assert len(ModelView(doubled(5)).nodes) == 32
    with pytest.raises(ModelError, match="500000 nodes"):
        ModelView(doubled(60))


def test_functions_that_call_themselves():
    with pytest.raises(ModelError, match=r"F\d calls itself"):
        ModelView(parsed("y = f.F1 (x)", "y = f.F0 (x)"))


def test_calls_that_cannot_be_written_out_stay():
    """The inliner of ONNX gives up on very deep nesting; the call is then a foreign operator."""
    calls = (f"y = f.F{i + 1} (x)" for i in range(2000))
    view = ModelView(parsed(*calls, "y = Relu (x)"))
    assert len(view.nodes) == 1 and view.nodes[0].domain in ("", "f")


def test_calls_inside_bodies_count():
    text = HEAD.replace("y = f.F0 (x)", "y = If (c) <a = t () => (q) { q = f.F0 (x) }>")
    model = onnx.parser.parse_model(f"{text}\n{FUNCTION.format(0, 'a = Relu (x) y = Relu (a)')}")
    assert expanded_size(model) == 3
