"""Ranks that grow from node to node are estimated before anything is inferred."""

from __future__ import annotations

import pytest
from onnx import helper, parser

from avatar_export.whitelist.model.growth import HIGHEST_RANK, is_tame, is_wild
from avatar_export.whitelist.view import ModelView


def chain(count: int, node: str, signature: str) -> str:
    steps = " ".join(node.format(a=f"r{i}", b=f"r{i + 1}") for i in range(count))
    return f'<ir_version: 8, opset_import: ["" : 13]> g ({signature} r0) => (y) {{ {steps} }}'


@pytest.mark.parametrize(
    ("node", "signature"),
    [
        ("{b} = Gather ({a}, {a})", "int64[1,1]"),
        ("{b} = GatherND ({a}, {a})", "int64[1,1,1,1]"),
        ("o{b} = Constant <value_ints = [0]> () {b} = Unsqueeze ({a}, o{b})", "float[2]"),
        ("{b} = SequenceConstruct ({a})", "float[2]"),
        (
            "s{b} = Shape ({a}) j{b} = Concat <axis = 0> (s{b}, s{b}) {b} = Expand ({a}, j{b})",
            "float[2]",
        ),
    ],
)
def test_ranks_that_grow(node, signature):
    assert is_tame(parser.parse_model(chain(3, node, signature)).graph)
    wild = parser.parse_model(chain(80, node, signature))
    assert not is_tame(wild.graph)
    ranks = [len(dims) for dims in map(ModelView(wild).dims, (f"r{i}" for i in range(80))) if dims]
    assert max(ranks) <= 2 * HIGHEST_RANK


@pytest.mark.parametrize(
    ("node", "signature"),
    [
        ("{b} = Add ({a}, {a})", "float[2,2]"),
        ("s{b} = Shape ({a}) {b} = Reshape ({a}, s{b})", "float[1,2,3,4]"),
        (
            "z{b} = Constant <value_int = 0> () i{b} = Shape ({a}) g{b} = Gather (i{b}, z{b}) "
            "u{b} = Unsqueeze (g{b}, m) j{b} = Concat <axis = 0> (u{b}, u{b}) "
            "{b} = Reshape ({a}, j{b})",
            "float[2,2]",
        ),
    ],
)
def test_ranks_that_do_not_grow(node, signature):
    text = chain(80, node, signature).replace("{ ", "{ m = Constant <value_ints = [0]> () ", 1)
    assert is_tame(parser.parse_model(text).graph)


def test_a_shape_of_a_thousand_entries():
    types = {
        "x": helper.make_tensor_type_proto(1, [1]),
        "s": helper.make_tensor_type_proto(7, [1000]),
    }
    assert is_wild(helper.make_node("Reshape", ["x", "s"], ["y"]), types)
    types["s"].tensor_type.shape.dim[0].dim_value = 4
    assert not is_wild(helper.make_node("Reshape", ["x", "s"], ["y"]), types)


@pytest.mark.parametrize("operator", ["Gather", "Shape", "Reshape", "Concat", "Constant"])
def test_nodes_without_operands(operator):
    graph = parser.parse_model(chain(1, f"{{b}} = {operator} ()", "float[1]")).graph
    assert is_tame(graph)
