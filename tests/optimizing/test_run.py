from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from avatar_export.errors import ModelError, ParityError, UserError
from avatar_export.onnx_file import write
from avatar_export.optimizing import run
from avatar_export.optimizing.options import Options
from avatar_export.optimizing.record import Optimization
from avatar_export.optimizing.run import optimize
from avatar_export.passes.base import Pass
from avatar_export.passes.cures.inputs import random_inputs
from avatar_export.passes.pipeline import Step
from tests.onnx_file.models import with_weight_file
from tests.optimizing.small import UPSAMPLED, operators, saved, upsampled
from tests.passes.models import assert_same, parsed


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved(tmp_path / "m.onnx", upsampled())


def optimized(model: Path, **options: Any) -> tuple[Optimization, Path]:
    out = model.with_name("out.onnx")
    return optimize(Options(model, out, **options)), out


@pytest.mark.parametrize(
    ("form", "wanted", "macs"),
    [
        ("resize", ["Upsample", "Conv", "Relu"], 32 * 32 * 4 * 8 * 9),
        ("deconv", ["ConvTranspose", "Relu"], 16 * 16 * 4 * 8 * 16),
    ],
)
def test_a_form_can_be_forced(model: Path, form: str, wanted: list[str], macs: int) -> None:
    result, out = optimized(model, upsample=form)
    assert operators(out) == wanted
    assert result.after.macs == macs and result.upsample == form


def test_the_sub_pixel_form_can_be_forced(model: Path) -> None:
    result, out = optimized(model, upsample="subpixel")
    assert "DepthToSpace" in operators(out) and "Upsample" not in operators(out)
    assert result.after.macs < result.before.macs


def test_the_result_computes_the_same(model: Path) -> None:
    result, out = optimized(model, target="adreno650")
    proto = onnx.load(model)
    assert_same(proto, onnx.load(out), random_inputs(proto))
    assert result.worst is not None and result.worst < 1e-5
    assert (result.model, result.out) == (str(model), str(out))


def test_the_operator_set_is_that_of_the_sdk(model: Path) -> None:
    _, out = optimized(model, target="adreno640", sdk="2.35")
    assert onnx.load(out).opset_import[0].version == 11


def test_onnx_runtime_keeps_the_operator_set_and_has_no_findings(model: Path) -> None:
    result, out = optimized(model, target="onnxruntime")
    assert onnx.load(out).opset_import[0].version == 16
    assert (result.goal, result.target, result.judged_before) == ("onnxruntime", None, None)


def test_findings_before_and_after_are_those_of_a_check(model: Path) -> None:
    result, _ = optimized(model)
    assert result.judged_before is not None and result.judged_after is not None
    assert {f.code for f in result.judged_before.findings} == {"AX102"}  # set 16 on SNPE 2.5
    assert result.judged_after.clean


def test_a_dry_run_writes_nothing(model: Path) -> None:
    result, out = optimized(model, dry_run=True)
    assert result.out == "" and result.passes
    assert not out.exists()


def test_every_stage_is_shown(model: Path) -> None:
    shown: list[str] = []
    optimize(Options(model, model.with_name("out.onnx")), shown.append)
    assert shown == ["reading the model", "rewriting", "writing"]


def test_open_shapes_are_bound(tmp_path: Path) -> None:
    body = UPSAMPLED.replace("[1,8,16,16]", "[N,8,H,W]").replace("[1,4,32,32]", "[N,4,P,Q]")
    model = saved(tmp_path / "m.onnx", upsampled(body))
    with pytest.raises(ModelError, match="open dimensions: N,8,H,W"):
        optimized(model)
    result, _ = optimized(model, inputs={"x": (1, 8, 5, 7)})
    assert result.before.macs == 10 * 14 * 4 * 8 * 9
    with pytest.raises(UserError, match="no input 'z'"):
        optimized(model, inputs={"z": (1,)})


CUSTOM = "g (float[4] x) => (float[4] y) { a = Relu (x) y = custom.Thing (a) }"


def test_what_onnx_runtime_cannot_run_is_rewritten_unproved_only(tmp_path: Path) -> None:
    model = saved(tmp_path / "m.onnx", CUSTOM)
    with pytest.raises(ModelError, match="ONNX Runtime cannot load") as error:
        optimized(model)
    assert "--no-verify" in error.value.hint
    result, out = optimized(model, verify=False)
    assert result.worst is None and operators(out) == ["Relu", "Thing"]


def test_two_nodes_of_one_name_are_told_apart_first(tmp_path: Path) -> None:
    text = "g (float[4] x) => (float[4] y) { [n] a = Relu (x) [n] y = Neg (a) }"
    result, _ = optimized(saved(tmp_path / "m.onnx", text))
    assert result.passes[0].name == "unique-names"


class _Wrong(Pass):
    """Swaps Relu for Neg."""

    name = "wrong"

    def apply(self, model: Any) -> list[str]:
        changed = [node for node in model.graph if node.op_type == "Relu"]
        for node in changed:
            node.op_type = "Neg"
        return [str(node.name) for node in changed]


def test_a_pass_that_changes_the_result_is_found_and_nothing_written(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "optimize_order", lambda opset, goal: [Step(_Wrong(), "a test")])
    with pytest.raises(ParityError, match="after pass wrong"):
        optimized(model)
    assert sorted(path.name for path in model.parent.iterdir()) == ["m.onnx"]


class _Broken(_Wrong):
    """Writes an operator that is none."""

    def apply(self, model: Any) -> list[str]:
        next(iter(model.graph)).op_type = "Nonsense"
        return ["one"]


def test_a_model_that_is_broken_by_a_pass_is_not_written(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "optimize_order", lambda opset, goal: [Step(_Broken(), "a test")])
    with pytest.raises(ModelError, match="the rewritten model is not valid ONNX"):
        optimized(model, verify=False)
    assert not model.with_name("out.onnx").exists()


def test_weights_in_another_file_come_along_and_are_not_written_over(tmp_path: Path) -> None:
    model = with_weight_file(tmp_path)
    before = (tmp_path / "w.data").read_bytes()
    for out in ("w.data", "w"):  # "w" would put large weights into w.data
        with pytest.raises(UserError, match="already in use"):
            optimize(Options(model, tmp_path / out))
    assert (tmp_path / "w.data").read_bytes() == before


def test_missing_weights_are_named_with_the_model(tmp_path: Path) -> None:
    model = with_weight_file(tmp_path)
    (tmp_path / "w.data").unlink()
    with pytest.raises(ModelError, match=r"m\.onnx: cannot read the weights"):
        optimized(model)


def test_the_weights_of_a_large_model_lie_in_a_file_of_their_own(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_WEIGHTS_AT_MOST", 10)
    _, out = optimized(model)
    assert out.with_name("out.onnx.data").is_file()
    proto = onnx.load(model)
    assert_same(proto, onnx.load(out), random_inputs(proto))


KINDS = {
    "if": "g (float[1,4,8,8] x, bool c) => (float[1,4,8,8] y) { d = Sigmoid (x) y = If (c) <"
    "then_branch = t () => (float[1,4,8,8] a) { a = Relu (d) },"
    "else_branch = e () => (float[1,4,8,8] b) { b = Neg (x) }> }",
    "loop": "g (float[4] x) => (float[4] y) <int64 n = {3}, bool go = {1}> { y = Loop (n, go, x) <"
    "body = b (int64 i, bool in, float[4] p) => (bool out, float[4] q)"
    "{ out = Identity (in) q = Add (p, x) }> }",
    "half": "g (float16[1,4,8,8] x) => (float16[1,4,8,8] y) { a = Relu (x) y = Mul (a, a) }",
    "double": "g (double[1,4,8,8] x) => (double[1,4,8,8] y) { a = Relu (x) y = Mul (a, a) }",
    "quantised": "g (float[1,4,8,8] x) => (float[1,4,8,8] y) <float s = {0.1}, uint8 z = {3}>"
    "{ q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z) }",
    "integers": "g (int64[4] x) => (int64[4] y) { y = Add (x, x) }",
    "no inputs": "g () => (float[1] y) { y = Constant <value = float[1] {1.0}> () }",
    "open inside": "g (float[4] x) => (int64[1,n] y) { y = NonZero (x) }",
    "an input is an output": "g (float[4] x) => (float[4] x, float[4] y) { y = Relu (x) }",
    "nothing to do": "g (float[4] x) => (float[4] y) { y = Relu (x) }",
}


@pytest.mark.parametrize("text", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("target", ["adreno640", "onnxruntime"])
def test_models_of_unusual_kinds_come_out_valid_and_equal(
    text: str, target: str, tmp_path: Path
) -> None:
    proto = parsed(text, 16)
    _, out = optimized(saved(tmp_path / "m.onnx", proto), target=target)
    onnx.checker.check_model(out, full_check=True)
    assert_same(proto, onnx.load(out), random_inputs(proto))


def test_an_input_with_a_default_becomes_a_constant_and_is_told(tmp_path: Path) -> None:
    text = "g (float[4] x, float[1] w) => (float[4] y) { y = Mul (x, w) }"
    proto = parsed(text, 9, w=np.float32([2]))
    result, out = optimized(saved(tmp_path / "m.onnx", proto))
    assert [value.name for value in onnx.load(out).graph.input] == ["x"]
    assert result.dropped == ("w",)
