from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from avatar_export.errors import ModelError
from avatar_export.passes import simplify
from avatar_export.passes.base import STAMP
from avatar_export.passes.simplify import Simplify
from tests.passes.models import loaded, operators, parsed, rewritten, rng, stamps

CHAIN = """g (float[1,3,4,4] x) => (float[1,3,4,4] y) {
    [idle] i = Identity(x)
    [shape] s = Shape(i)
    [reshape] r = Reshape(i, s)
    [sum] k = Add(v, w)
    [dead] d = Relu(r)
    [add] a = Add(r, k)
    y = Neg(a)
}"""


@pytest.fixture
def model() -> ir.Model:
    return loaded(parsed(CHAIN, v=rng(1, 3, 1, 1), w=rng(1, 3, 4, 4)))


def test_constants_are_folded_and_idle_nodes_dropped() -> None:
    proto = parsed(CHAIN, v=rng(1, 3, 1, 1), w=rng(1, 3, 4, 4))
    after, changes = rewritten(Simplify(), proto, x=rng(1, 3, 4, 4))
    assert operators(after) == ["Add", "Neg"]
    assert changes == ["7 nodes became 2"]


def test_nothing_to_do() -> None:
    proto = parsed("g (float[2] x) => (float[2] y) { [a] y = Add(x, w) }", w=[1.0, 2.0])
    after, changes = rewritten(Simplify(), proto, x=rng(2))
    assert changes == []
    assert operators(after) == ["Add"]


def test_stamps_survive(model: ir.Model) -> None:
    model.graph.node("add").metadata_props[STAMP] = "fold-adaptive"
    Simplify().apply(model)
    assert stamps(ir.to_proto(model)) == {"add": "fold-adaptive"}


def test_a_stamp_of_a_node_without_a_name_goes_to_no_other() -> None:
    proto = parsed("g (float[2] x) => (float[2] y) { r = Relu(x) y = Neg(r) }")
    model = loaded(proto)
    model.graph[0].metadata_props[STAMP] = "fold-adaptive"
    Simplify().apply(model)
    assert stamps(ir.to_proto(model)).keys() <= {model.graph[0].name}
    assert STAMP not in model.graph[1].metadata_props


# What our own passes do, or SNPE's converters do not take, is left as it is.
KEPT: dict[str, tuple[str, dict[str, np.ndarray], list[str]]] = {
    "batch norm after a convolution": (
        "(float[1,3,4,4] x) => (float[1,3,4,4] y) "
        "{ c = Conv(x, w) y = BatchNormalization(c, k, k, k, v) }",
        {"w": rng(3, 3, 1, 1), "k": rng(3), "v": np.float32([1, 2, 3])},
        ["Conv", "BatchNormalization"],
    ),
    "Add after a convolution": (
        "(float[1,3,4,4] x) => (float[1,3,4,4] y) { c = Conv(x, w) y = Add(c, k) }",
        {"w": rng(3, 3, 1, 1), "k": rng(1, 3, 1, 1)},
        ["Conv", "Add"],
    ),
    "Mul after a convolution": (
        "(float[1,3,4,4] x) => (float[1,3,4,4] y) { c = Conv(x, w) y = Mul(c, k) }",
        {"w": rng(3, 3, 1, 1), "k": rng(1, 3, 1, 1)},
        ["Conv", "Mul"],
    ),
    "Mul before a convolution": (
        "(float[1,3,4,4] x) => (float[1,3,4,4] y) { c = Mul(x, k) y = Conv(c, w) }",
        {"w": rng(3, 3, 1, 1), "k": rng(1, 3, 1, 1)},
        ["Mul", "Conv"],
    ),
    "sum of a product": (
        "(float[3,4] x, float[4,5] z) => (float[3,5] y) { m = MatMul(x, z) y = Add(m, k) }",
        {"k": rng(5)},
        ["MatMul", "Add"],
    ),
    "transposed product": (
        "(float[4,3] x, float[4,5] z) => (float[3,5] y) "
        "{ t = Transpose<perm = [1,0]>(x) y = Gemm(t, z, k) }",
        {"k": rng(5)},
        ["Transpose", "Gemm"],
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_skipped_fusions_are_skipped(case: str) -> None:
    text, weights, expected = KEPT[case]
    proto = parsed(f"g {text}", **weights)
    feeds = {
        v.name: rng(*(d.dim_value for d in v.type.tensor_type.shape.dim)) for v in proto.graph.input
    }
    after, _ = rewritten(Simplify(), proto, **feeds)
    assert operators(after) == expected


def failure(model: ir.Model) -> str:
    """The one line that a broken child becomes; the model is as it was."""
    before = ir.to_proto(model)
    with pytest.raises(ModelError) as caught:
        Simplify().apply(model)
    assert ir.to_proto(model) == before
    assert "\n" not in caught.value.message
    return caught.value.message


def child(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(simplify, "_CHILD", f"import os, sys, time\ntarget = sys.argv[2]\n{code}")


def test_a_crash_of_the_child(model: ir.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, "os.kill(os.getpid(), 11)")
    assert failure(model) == "onnxsim failed (exit -11):"


def test_an_error_of_the_child(model: ir.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, "raise ValueError('not\\nmy day')")
    assert failure(model) == "onnxsim failed (exit 1): my day"


def test_a_child_that_hangs(model: ir.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, "time.sleep(60)")
    monkeypatch.setattr(simplify, "_TIMEOUT_S", 0.2)
    assert failure(model) == "onnxsim did not end within 0.2 s"


@pytest.mark.parametrize("written", ["b'no model'", "b''"], ids=["garbage", "nothing"])
def test_an_unreadable_result(
    written: str, model: ir.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    child(monkeypatch, f"open(target, 'wb').write({written})")
    assert failure(model) == "onnxsim wrote no readable model"


def test_no_result(model: ir.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, "")
    assert failure(model).startswith("onnxsim failed (exit 0)")
