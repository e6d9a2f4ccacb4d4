"""Models on which the C++ inference of ONNX does not come back, or takes all memory.

Each would end or hang the tests if it got through; the bounds are tried in child processes by
``test_hostile.py``.
"""

from __future__ import annotations

import pytest
from onnx import helper

from avatar_export.whitelist.model.hazards import hazard, hide, show
from avatar_export.whitelist.view import ModelView
from tests.whitelist.models import model

X = "(float[2,2] x) => (y)"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('y = Einsum <equation = "ij9->ij"> (x)', "equation"),
        ('y = Einsum <equation = "i.j->ij"> (x)', "equation"),
        ("y = Softmax <axis = 2147483648> (x)", "axis is 2147483648"),
        ("y = GatherND <batch_dims = 1.5> (x, x)", "batch_dims has the wrong type"),
        ("y, z = Split <num_outputs = 3> (x)", "num_outputs is 3, but there are 2"),
        ("y = EyeLike (, x)", "input 0 is absent"),
    ],
)
def test_hazards(body, reason):
    node = model(X, body, 18).graph.node[0]
    assert reason in hazard(node, 18)


@pytest.mark.parametrize(
    "body",
    [
        'y = Einsum <equation = "...ij, ...jk -> ...ik"> (x, x)',
        'y = Einsum <equation = "ij"> (x)',
        "y = Softmax <axis = -1> (x)",
        "y, z = Split <num_outputs = 2> (x)",
        "y = EyeLike (x)",
        "y = Resize (x, , x)",
        "y = NoSuchOperator <axis = 1> (x)",
    ],
)
def test_harmless_nodes(body):
    assert hazard(model(X, body, 18).graph.node[0], 18) == ""


def test_a_malformed_equation_is_found_in_linear_time():
    text = "ab," * 300 + "9"
    assert "malformed" in hazard(helper.make_node("Einsum", ["x"], ["y"], equation=text), 13)


def test_hidden_nodes_come_back():
    inner = "then_branch = t () => (q) { q = EyeLike (x) }"
    body = f"a = Softmax <axis = 2147483648> (x) y = If (c) <{inner}>"
    graph = model("(float[2,2] x, bool c) => (y)", body).graph
    before = graph.SerializeToString()
    assert hide(graph, 11)
    assert graph.node[0].domain and graph.node[1].attribute[0].g.node[0].domain
    show(graph)
    assert graph.SerializeToString() == before
    assert not hide(model(X, "y = Relu (x)").graph, 11)


def test_operators_that_need_a_type_get_it_later():
    view = ModelView(model(X, "a = EyeLike (x) u = other.Any (x) b = EyeLike (u) y = Relu (a)"))
    assert view.shape("y") == (2, 2) and view.dims("b") is None


def test_long_streams_cost_nothing():
    """With value propagation this took 1.2 GB for 8 million samples."""
    body = "k = Constant <value_ints = [0]> () u = Unsqueeze (x, k) y = Concat <axis = 1> (u, u)"
    view = ModelView(model("(float[1099511627776] x) => (y)", body, 13))
    assert view.shape("y") == (1, 2 * 1099511627776)
