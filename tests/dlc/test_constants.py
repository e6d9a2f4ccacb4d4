from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper, parser

from avatar_export.dlc.constants import fold_constants

HEAD = '<ir_version: 8, opset_import: ["" : 15]> g '


def fold(text: str, tmp_path: Path) -> tuple[list[int], onnx.GraphProto]:
    model = onnx.shape_inference.infer_shapes(parser.parse_model(HEAD + text), data_prop=True)
    indices = fold_constants(model, tmp_path)
    onnx.checker.check_model(model, full_check=True)
    return indices, model.graph


def value(graph: onnx.GraphProto, name: str) -> list[float]:
    tensor = next(t for t in graph.initializer if t.name == name)
    return list(numpy_helper.to_array(tensor).ravel())


SHAPE_CHAIN = """
(float[2,3,4,5] x) => (float[6,20] y) <int64[1] rows = {6}> {
  s = Shape<start=2>(x)
  p = ReduceProd<axes=[0], keepdims=1>(s)
  t = Concat<axis=0>(rows, p)
  y = Reshape(x, t)
}
"""


def test_what_hangs_on_a_fixed_shape_is_computed(tmp_path: Path) -> None:
    indices, graph = fold(SHAPE_CHAIN, tmp_path)
    assert indices == [0, 1, 2]
    assert [node.op_type for node in graph.node] == ["Reshape"]
    assert value(graph, "t") == [6, 20]


def test_a_free_shape_stays(tmp_path: Path) -> None:
    indices, graph = fold("(float[N,4] x) => (int64[2] y) { y = Shape(x) }", tmp_path)
    assert (indices, len(graph.node)) == ([], 1)


def test_a_constant_graph_output_becomes_an_initializer(tmp_path: Path) -> None:
    text = "(float[4] x) => (float[4] y, float[1] z) <float[1] c = {2}> { y = Neg(x) z = Neg(c) }"
    indices, graph = fold(text, tmp_path)
    assert indices == [1]
    assert value(graph, "z") == [-2]


def test_constants_read_inside_a_branch_are_kept(tmp_path: Path) -> None:
    text = """(float[1] x, bool b) => (float[1] y) <float[1] c = {3}> {
      d = Neg(c)
      y = If(b) <then_branch = t () => (float[1] p) { p = Add(x, d) },
                 else_branch = e () => (float[1] q) { q = Identity(d) }>
    }"""
    indices, graph = fold(text, tmp_path)
    assert indices == [0]
    assert value(graph, "d") == [-3]


@pytest.mark.parametrize(
    "text",
    [
        "() => (float[4] y) { y = RandomNormal<shape=[4]>() }",
        "() => (uint8[1] y) <float[1] c = {2}, float s = {1}> { y = QuantizeLinear(c, s) }",
        "() => (float[33554432] y) <int64[1] n = {33554432}> { y = ConstantOfShape(n) }",
        "() => (int64[2,N] y) <float[1,2] c = {1, 2}> { y = NonZero(c) }",
    ],
    ids=["random", "quantised", "large", "unknown size"],
)
def test_what_must_not_be_computed_stays(tmp_path: Path, text: str) -> None:
    assert fold(text, tmp_path)[0] == []


def test_what_cannot_be_computed_leaves_the_model_as_it_is(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = """(float[4] x) => (float[4] y) <int64[1] a = {4}, int64[1] z = {0}>
      { s = Div(a, z) t = Reshape(x, s) y = Neg(t) }"""
    model = onnx.shape_inference.infer_shapes(parser.parse_model(HEAD + text))
    model.opset_import[0].version = 5  # Where ONNX Runtime has no Div.
    assert fold_constants(model, tmp_path) == []
    assert [node.op_type for node in model.graph.node] == ["Div", "Reshape", "Neg"]
    assert "constants are not folded" in capfd.readouterr().err
