from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from avatar_export.optimizing import goal as module
from avatar_export.optimizing.goal import basis, goal_for
from avatar_export.passes.goal import Goal
from avatar_export.passes.site import Sketch
from avatar_export.whitelist.check import check
from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.judgement import Judgement
from avatar_export.whitelist.targets import resolve_target
from tests.optimizing.small import upsampled
from tests.passes.models import loaded, parsed


def site() -> list[ir.Node]:
    """Resize and convolution, in a graph."""
    return list(loaded(upsampled()).graph)[:2]


def deconvolution(old: list[ir.Node], bias: bool = True) -> list[ir.Node]:
    sketch = Sketch(old[1])
    weights = [sketch.weight("w", np.ones((8, 4, 4, 4), np.float32))]
    weights += [sketch.weight("b", np.zeros(4, np.float32))] if bias else []
    inputs = [old[0].inputs[0], *weights]
    sketch.put("ConvTranspose", inputs, (1, 4, 32, 32), strides=[2, 2], pads=[1, 1, 1, 1])
    return sketch.nodes


def subpixel(old: list[ir.Node]) -> list[ir.Node]:
    sketch = Sketch(old[1])
    weight = sketch.weight("w", np.ones((16, 8, 3, 3), np.float32))
    wide = sketch.put("Conv", [old[0].inputs[0], weight], (1, 16, 16, 16), pads=[1, 1, 1, 1])
    sketch.put("DepthToSpace", [wide], (1, 4, 32, 32), blocksize=2, mode="DCR")
    return sketch.nodes


def goal(sdk: str, runtime: str = "gpu_float16") -> Goal:
    return goal_for(resolve_target("adreno640", sdk, runtime))


@pytest.mark.parametrize("sdk", ["1.17", "1.43", "2.5", "2.25", "2.35"])
def test_every_version_takes_the_deconvolution(sdk: str) -> None:
    old = site()
    assert goal(sdk).refusal(old, deconvolution(old)) == ""


@pytest.mark.parametrize("sdk", ["1.17", "1.43"])
def test_a_missing_bias_is_a_fault_of_old_converters(sdk: str) -> None:
    old = site()
    said = goal(sdk).refusal(old, deconvolution(old, bias=False))
    assert said.startswith("AX105 ConvTranspose: a missing bias")


@pytest.mark.parametrize(
    ("sdk", "said"),
    [
        ("1.17", "AX101 DepthToSpace: DepthToSpace is in no operator list"),
        ("1.43", "AX101 DepthToSpace: DepthToSpace is in no operator list"),
        ("2.5", "AX107 DepthToSpace: DepthToSpace: not on the ONNX page of 2.5"),
    ],
)
def test_an_operator_that_is_not_listed_is_refused(sdk: str, said: str) -> None:
    old = site()
    assert goal(sdk).refusal(old, subpixel(old)).startswith(said)


@pytest.mark.parametrize("sdk", ["2.25", "2.35"])
def test_later_versions_take_the_sub_pixel_form(sdk: str) -> None:
    old = site()
    assert goal(sdk).refusal(old, subpixel(old)) == ""


def test_what_the_old_nodes_had_is_no_refusal() -> None:
    """Sinh is in no list: the target refuses the new nodes, but it refused the old ones too."""
    text = "g (float[1,4,8,8] x) => (float[1,4,8,8] y) { [a] s = Sinh (x) [b] y = Relu (s) }"
    old = list(loaded(parsed(text)).graph)
    sketch = Sketch(old[1])
    relu = sketch.put("Relu", [old[0].inputs[0]], (1, 4, 8, 8), ".relu")
    sketch.put("Sinh", [relu], (1, 4, 8, 8), ".sinh")
    assert goal("2.5").refusal(old, sketch.nodes) == ""
    assert goal("2.5").refusal(old[1:], sketch.nodes).startswith("AX101 Sinh")


def test_nodes_are_judged_in_the_set_that_the_model_is_lowered_to() -> None:
    """Split of set 13 has its sizes as an input, which SNPE 2.5 does not take; set 9 has not."""
    text = "g (float[1,4,8,8] x) => (float[1,4,8,8] y) { [a] y = Relu (x) }"
    old = list(loaded(parsed(text, 13)).graph)
    sketch = Sketch(old[0])
    sizes = sketch.weight("sizes", np.array([1, 3]))
    sketch.split("Split", [old[0].inputs[0], sizes], [(1, 1, 8, 8), (1, 3, 8, 8)], axis=1)
    assert goal("2.5").refusal(old, sketch.nodes) == ""


def test_the_same_question_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counting(model, target):  # type: ignore[no-untyped-def]
        asked.append(model)
        return check(model, target)

    monkeypatch.setattr(module, "check", counting)
    aim = goal("2.5")
    answers = {aim.refusal(old, subpixel(old)) for old in (site(), site())}
    assert len(answers) == 1 and len(asked) == 2  # the old nodes, and the new


@pytest.mark.parametrize(
    ("code", "operator", "said"),
    [
        ("AX107", "graph input", ""),
        ("AX209", "graph output", ""),
        ("AX102", "DepthToSpace", ""),
        ("AX104", "DepthToSpace", "AX104 DepthToSpace: too wide"),
    ],
)
def test_findings_that_are_not_about_the_nodes_are_no_refusal(
    code: str, operator: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ends of the fragment are made up, and the operator set is chosen for the whole model."""
    found = Finding(code, Severity.WARNING, Verdict.CONSTRAINED, "n", operator, "too wide", "page")
    old = site()
    answers = iter([(), (found,)])  # for the old nodes, then the new
    monkeypatch.setattr(module, "check", lambda _, target: Judgement(target, next(answers), ()))
    assert goal("2.5").refusal(old, subpixel(old)) == said


def test_onnx_runtime_refuses_nothing() -> None:
    old = site()
    aim = goal_for(None)
    assert aim.name == "onnxruntime" and aim.refusal(old, subpixel(old)) == ""


@pytest.mark.parametrize("chip", [None, "adreno640"])
def test_prices_are_seconds_and_grow_with_the_work(chip: str | None) -> None:
    aim = goal_for(resolve_target(chip) if chip else None)
    resize, conv = site()
    assert 0 < aim.price([resize]) < aim.price([resize, conv]) < 1


def test_the_wanted_form_is_handed_on() -> None:
    assert goal_for(None, "subpixel").upsample == "subpixel"
    assert goal_for(resolve_target(), None).upsample is None


def test_where_estimates_come_from() -> None:
    assert "ONNX Runtime" in basis(None)
    own = basis(resolve_target("adreno640"))
    assert "Snapdragon 855" in own
    for target in (resolve_target("adreno330"), resolve_target("adreno640", None, "cpu")):
        said = f"no numbers for {target.name} {target.runtime}; those of another: {own}"
        assert basis(target) == said
