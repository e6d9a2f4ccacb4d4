from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from avatar_export.passes.base import fixed_shape
from avatar_export.passes.cures.reading import joins_fixed_names, made_by, rank, scalar_of, title
from tests.passes.models import loaded, parsed


def graph_of(nodes: str, inputs: str = "float[2,N] x", outputs: str = "float[2,N] y") -> ir.Graph:
    weights = {"one": np.float32([[1]]), "two": np.float32([1, 2])}
    return loaded(parsed(f"g ({inputs}) => ({outputs}) {{ {nodes} }}", 13, **weights)).graph


def test_shapes() -> None:
    graph = graph_of("y = Relu(x)", "float[2,N] x, float[2,3] z, float s")
    x, z, s = graph.inputs
    assert [rank(v) for v in (x, z, s, None)] == [2, 2, 0, None]
    assert [fixed_shape(v) for v in (x, z, s, None)] == [None, (2, 3), (), None]


def test_one_number() -> None:
    first, second = graph_of("a = Add(x, one) y = Mul(x, two)")
    assert scalar_of(first.inputs[1]) == 1
    assert scalar_of(second.inputs[1]) is None
    assert scalar_of(first.inputs[0]) is None


def test_titles() -> None:
    named, nameless = graph_of("[n] a = Relu(x) y = Abs(a)")
    assert (title(named), title(nameless)) == ("n", "y")


def test_makers() -> None:
    first, second = graph_of("a = Relu(x) y = Abs(a)")
    assert made_by(second.inputs[0], "Abs", "Relu") is first
    assert made_by(second.inputs[0], "Abs") is None
    assert made_by(first.inputs[0], "Relu") is None
    assert made_by(None, "Relu") is None


@pytest.mark.parametrize(
    ("nodes", "outputs", "joins"),
    [
        ("y = Identity(x)", "float[2,N] y", True),
        ("a = Relu(x) y = Identity(a)", "float[2,N] y", False),
        ("a = Relu(x) y = Identity(a)", "float[2,N] y, float[2,N] a", True),
        ("y = Identity(one)", "float[1,1] y", True),
        ("z = Relu(x) a = Identity(x)", "float[2,N] z", False),
    ],
)
def test_joints(nodes: str, outputs: str, joins: bool) -> None:
    assert joins_fixed_names(graph_of(nodes, outputs=outputs)[-1]) is joins
