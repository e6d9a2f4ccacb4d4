from __future__ import annotations

import numpy as np
import onnx
import pytest

from avatar_export.errors import ModelError
from avatar_export.passes.cures.resize_set import ResizeSet
from tests.passes.models import (
    applied,
    attributes,
    initializers,
    loaded,
    operators,
    parsed,
    rewritten,
    rng,
)

X = rng(1, 2, 4, 6)


def model_of(
    mode: str, scale: float, before: str = "c = Relu(x)", opset: int = 10, **weights: object
) -> onnx.ModelProto:
    body = f"""g (float[1,2,4,6] x) => (float[1,2,h,w] y) {{
        {before} [up] y = Resize<mode = "{mode}">(c, s)
    }}"""
    scales = np.float32([1, 1, scale, scale])
    return parsed(body, opset, ir_version=5, **({"s": scales} | weights))


@pytest.mark.parametrize(("mode", "scale"), [("linear", 2), ("linear", 0.5), ("nearest", 1.5)])
def test_a_resize_names_its_rule(mode: str, scale: float) -> None:
    after, changes = rewritten(ResizeSet(), model_of(mode, scale), x=X)
    assert after.opset_import[0].version == 11
    assert changes == ["operator set 10 became 11", "up: asymmetric, as set 10 has it"]
    found = attributes(after.graph.node[1])
    assert found["coordinate_transformation_mode"] == b"asymmetric"
    assert found.get("nearest_mode") == (b"floor" if mode == "nearest" else None)
    assert len(after.graph.node[1].input) == 3


def test_what_else_changed_between_the_sets() -> None:
    before = """p = Pad<pads = [0,0,1,0,0,0,1,0], value = 0.5>(x) q = Clip<min = -1.0>(p)
        r = Clip<max = 0.25>(q) t = Clip(r) c = Scatter<axis = 2>(t, at, by)"""
    weights = {"at": np.zeros((1, 1, 1, 1), np.int64), "by": np.ones((1, 1, 1, 1), np.float32)}
    after, _ = rewritten(ResizeSet(), model_of("linear", 2, before, **weights), x=X)
    assert operators(after) == ["Pad", "Clip", "Clip", "Clip", "ScatterElements", "Resize"]
    pad = after.graph.node[0]
    assert initializers(after)[pad.input[1]].tolist() == [0, 0, 1, 0, 0, 0, 1, 0]
    assert initializers(after)[pad.input[2]] == 0.5


def test_a_pad_without_a_value_adds_zeros() -> None:
    before = "c = Pad<pads = [0,0,1,0,0,0,1,0]>(x)"
    after, _ = rewritten(ResizeSet(), model_of("linear", 2, before), x=X)
    assert initializers(after)[after.graph.node[0].input[2]] == 0


def test_it_notices_what_it_left() -> None:
    with pytest.raises(ModelError, match="resize-set: up was left as it was"):
        ResizeSet().ensures(loaded(model_of("linear", 2)))


def test_operators_that_kept_their_meaning() -> None:
    before = """a = Softmax<axis = 2>(x) b = Concat<axis = 1>(a, x) d = Flatten<axis = 2>(b)
        e, k = TopK<axis = 1>(d, one) f = ReduceMean<axes = [1], keepdims = 1>(x)
        m = MaxPool<kernel_shape = [1,1]>(x) c = Gather<axis = 1>(m, at)"""
    weights = {"one": np.array([1]), "at": np.array([1, 0])}
    after, _ = rewritten(ResizeSet(), model_of("linear", 2, before, **weights), x=X)
    assert after.opset_import[0].version == 11


@pytest.mark.parametrize(("mode", "scale"), [("nearest", 2), ("nearest", 3), ("linear", 1)])
def test_a_model_whose_resizes_mean_the_same_either_way_stays(mode: str, scale: float) -> None:
    step = ResizeSet()
    after, changes = applied(step, model_of(mode, scale))
    assert changes == [] and after.opset_import[0].version == 10
    assert list(step.notes) == []


def test_other_sets_stay() -> None:
    body = 'g (float[1,2,4,6] x) => (float[1,2,8,12] y) { y = Resize<mode="linear">(x, "", s) }'
    proto = parsed(body, 13, s=np.float32([1, 1, 2, 2]))
    assert applied(ResizeSet(), proto)[1] == []


def test_a_subgraph_holds_the_model() -> None:
    branch = "b () => (float[1,2,4,6] {0}) {{ {0} = Relu(x) }}"
    before = (
        f"""c = If<then_branch = {branch.format("t")}, else_branch = {branch.format("e")}>(cond)"""
    )
    step = ResizeSet()
    proto = model_of("linear", 2, before, cond=np.array(True))
    after, changes = applied(step, proto)
    assert changes == [] and after.opset_import[0].version == 10
    assert step.notes == ["up stays: If c holds a subgraph, which would have to be raised too"]


def test_a_nearest_resize_that_shrinks_unevenly_holds_the_model() -> None:
    step = ResizeSet()
    after, changes = applied(step, model_of("nearest", 0.75))
    assert changes == [] and after.opset_import[0].version == 10
    assert step.notes == ["up stays: set 10 does not say how up rounds where it shrinks"]


def test_an_even_one_does_not() -> None:
    up = 'z = Resize<mode = "nearest">(x, half) c = Relu(z)'
    after, changes = rewritten(
        ResizeSet(), model_of("linear", 2, up, half=np.float32([1, 1, 0.5, 0.5])), x=X
    )
    assert len(changes) == 3
    assert attributes(after.graph.node[0])["nearest_mode"] == b"floor"
