from __future__ import annotations

import numpy as np
import onnx
import pytest

from avatar_export.errors import ModelError, UserError
from avatar_export.passes.cures.order import apply_cures, cure_titles, known_cures
from avatar_export.precision.runner import run_onnx
from tests.passes.models import operators, parsed, rng

ALL = [name for name in known_cures() if name != "lower-opset"]

SICK = """g (float[1,4,6,4] x, float s) => (float[1,4,6,4] y) {
    [c] a = Conv(x, w) [c] b = Add(a, v) c = PRelu(b, v) p = Pad(c, pads, half)
    n = ReduceL2<axes = [1], keepdims = 1>(p) d = Div(p, n) m = Max(d, lo) z = Min(m, hi)
    i = Identity(z) q = Slice(i, start, end, axes) r = Mul(q, s) y = Softmax<axis = 2>(r)
}"""
WEIGHTS = {
    "w": rng(4, 4, 1, 1),
    "v": rng(4, seed=1),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "half": np.float32(0.5),
    "lo": np.float32(-0.5),
    "hi": np.float32(0.5),
    "start": np.array([1, 1]),
    "end": np.array([7, 5]),
    "axes": np.array([2, 3]),
}
FEEDS = {"x": rng(1, 4, 6, 4), "s": np.array(2, np.float32)}


def sick(opset: int = 13) -> onnx.ModelProto:
    return parsed(SICK, opset, **WEIGHTS)


def test_all_cures_together() -> None:
    proto = sick()
    after, records = apply_cures(proto, known_cures(), opset=12)
    onnx.checker.check_model(after, full_check=True)
    assert after.opset_import[0].version == 12
    expected = run_onnx(_unique(sick()), FEEDS)["y"]
    np.testing.assert_allclose(run_onnx(after, FEEDS)["y"], expected, atol=1e-6)
    done = [record.name for record in records if record.changes]
    assert done == [
        "unique-names",
        "drop-identity",
        "clip-bounds",
        "spell-out-norm",
        "pad-value",
        "prelu-slope",
        "softmax-last",
        "vector-rank",
        "scalar-operand",
        "lower-opset",
    ]
    assert proto == sick()


def _unique(proto: onnx.ModelProto) -> onnx.ModelProto:
    """ONNX Runtime loads no model with two nodes of one name."""
    for node in proto.graph.node:
        node.name = ""
    return proto


def test_only_the_named_cures_are_applied() -> None:
    after, records = apply_cures(sick(), ["prelu-slope", "unique-names"], opset=9)
    assert [record.name for record in records] == ["unique-names", "prelu-slope"]
    assert after.opset_import[0].version == 13
    assert operators(after) == operators(sick())


def test_no_names_change_nothing() -> None:
    after, records = apply_cures(_unique(sick()), [], opset=9)
    assert records == [] and operators(after) == operators(sick())


def test_every_cure_has_a_name_a_title_and_a_place() -> None:
    assert len(set(known_cures())) == len(known_cures())
    assert known_cures()[-1] == "lower-opset"
    assert set(cure_titles()) == set(known_cures())
    assert all(title.endswith(".") for title in cure_titles().values())


@pytest.mark.parametrize("name", ALL)
def test_a_healthy_model_stays_as_it_is(name: str) -> None:
    body = "g (float[1,4,6,5] x) => (float[1,4,6,5] y) { a = Conv(x, w) b = Relu(a) y = Add(a, b) }"
    proto = parsed(body, 13, w=rng(4, 4, 1, 1))
    after, records = apply_cures(proto, [name], opset=13)
    assert all(record.changes == () and record.notes == () for record in records)
    assert [str(node.op_type) for node in after.graph.node] == ["Conv", "Relu", "Add"]


def test_raising_to_set_11_looks_after_padding_values() -> None:
    body = """g (float[1,2,3,4] x) => (float[1,2,h,w] y) {
        p = Pad<pads = [0,0,1,0,0,0,1,0], value = 0.5>(x) y = Resize<mode = "linear">(p, s)
    }"""
    proto = parsed(body, 10, ir_version=5, s=np.float32([1, 1, 2, 2]))
    after, _ = apply_cures(proto, ["resize-set"], opset=11)
    assert operators(after) == ["Pad", "Add", "Resize"]


def test_weights_of_ir_3_are_constants() -> None:
    body = "g (float[1,4,3,5] x, float[5] s) => (float[1,4,3,5] y) { y = PRelu(x, s) }"
    proto = parsed(body, 9, ir_version=3, s=rng(5))
    after, _ = apply_cures(proto, ["prelu-slope"], opset=9)
    assert after.ir_version == 4
    assert [value.name for value in after.graph.input] == ["x"]
    assert proto.ir_version == 3 and len(proto.graph.input) == 2


def test_a_weight_that_is_an_input_from_ir_4_on_may_be_fed() -> None:
    body = "g (float[1,4,3,5] x, float[5] s) => (float[1,4,3,5] y) { y = PRelu(x, s) }"
    after, _ = apply_cures(parsed(body, 9, ir_version=4, s=rng(5)), ["prelu-slope"], opset=9)
    assert [value.name for value in after.graph.input] == ["x", "s"]
    assert operators(after) == ["Reshape", "PRelu"]


def test_the_alias_of_the_default_domain() -> None:
    body = "g (float[1,4,3,5] x) => (float[1,4,3,5] y) { y = PRelu(x, s) }"
    proto = parsed(body, 13, s=rng(5))
    proto.opset_import[0].domain = "ai.onnx"
    after, records = apply_cures(proto, ["prelu-slope"], opset=13)
    assert len(records[0].changes) == 1
    assert after.opset_import[0].domain == "" and proto.opset_import[0].domain == "ai.onnx"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UserError, match="unknown cure homeopathy") as caught:
        apply_cures(sick(), ["prelu-slope", "homeopathy"], opset=9)
    assert "prelu-slope" in caught.value.hint


OPEN = "g (float[N,4,3,5] x) => (float[N,4,3,5] y) { y = PRelu(x, s) }"


def test_an_open_shape_can_be_cured_unproved_only() -> None:
    proto = parsed(OPEN, 13, s=rng(5))
    with pytest.raises(ModelError, match="input x has no fixed shape"):
        apply_cures(proto, ["prelu-slope"], opset=13)
    _, records = apply_cures(proto, ["prelu-slope"], opset=13, verify=False)
    assert len(records[0].changes) == 1


def test_a_cure_that_changes_the_result_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from avatar_export.errors import ParityError
    from avatar_export.passes.cures import spell_out_norm

    monkeypatch.setattr(spell_out_norm.Writer, "reduce", lambda self, op, x, *_: self.put("Abs", x))
    body = "g (float[2,4] x) => (float[2,4] y) { n = ReduceL1<axes=[0]>(x) y = Div(x, n) }"
    with pytest.raises(ParityError, match="spell-out-norm"):
        apply_cures(parsed(body, 13), ["spell-out-norm"], opset=13)


def test_computed_shapes_are_folded_before_the_cures() -> None:
    proto = parsed(
        """g (float[1,4,8,8] x) => (float[1,4,10,10] y) {
            s = Shape(x) n = Gather<axis = 0>(s, zero) one = Div(n, n) u = Unsqueeze(one, zeros)
            p = Concat<axis = 0>(none, u, u, none, u, u)
            y = Pad(x, p, v)
        }""",
        13,
        zero=np.array(0),
        zeros=np.array([0]),
        none=np.array([0, 0]),
        v=np.float32(0.5),
    )
    cured, records = apply_cures(proto, ["pad-value"], opset=11)
    assert [record.name for record in records] == ["onnxsim", "pad-value"]
    assert "Add" in [node.op_type for node in cured.graph.node]
