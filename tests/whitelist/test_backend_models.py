"""Every model of ONNX's own backend tests is judged, node by node, without a crash."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx.backend.test.case.node import collect_testcases

from avatar_export.whitelist.check import check
from avatar_export.whitelist.finding import Verdict
from avatar_export.whitelist.targets import resolve_target
from avatar_export.whitelist.view import ModelView

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
# The cases themselves divide by zero on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
TARGETS = [resolve_target(sdk="2.25", runtime="cpu"), resolve_target("adreno640")]


@pytest.fixture(scope="module")
def models() -> dict[str, onnx.ModelProto]:
    """One model an operator and case, and the networks that onnx ships without their weights."""
    found = {case.name: case.model for case in collect_testcases() if case.model is not None}
    return found | {path.parent.name + path.stem: onnx.load(path) for path in DATA.rglob("*.onnx")}


def test_the_models_are_there(models):
    assert len(models) > 1500


@pytest.mark.parametrize("target", TARGETS, ids=["2.25 cpu", "adreno640"])
def test_each_node_gets_a_verdict(models, target):
    for name, model in models.items():
        judgement = check(model, target)
        assert sum(judgement.counts.values()) >= len(model.graph.node), name
        assert all(isinstance(n.verdict, Verdict) for n in judgement.node_verdicts), name


def test_valid_models_are_not_called_invalid(models):
    reasons = {name: ModelView(model).invalid for name, model in models.items()}
    assert {name: reason for name, reason in reasons.items() if reason} == {}
