"""Every silent fault of the recorded cases that has a cure is gone after it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import onnx
import pytest

from avatar_export.passes.cures.order import apply_cures, known_cures
from avatar_export.whitelist.check import check
from avatar_export.whitelist.finding import Finding
from avatar_export.whitelist.tables import known_sdks, load_sdk
from avatar_export.whitelist.targets import resolve_target

DATA = Path(__file__).parent.parent / "data" / "converter" / "cases.jsonl"
CPU = resolve_target(None, "2.25", "cpu")
# Neither an infinite padding value nor these pixels can be stored; the cure says so in a note.
UNSPELLABLE = {
    "pad_inf",
    "resize_nearest_asymmetric_round_prefer_ceil",
    "resize_nearest_half_pixel_ceil",
    "resize_nearest_pytorch_half_pixel",
    "ctx_resize_near_asym_rpf_x3",
}


def faults(model: onnx.ModelProto) -> list[Finding]:
    return [f for f in check(model, CPU).findings if f.code.startswith("AX2") and f.cure]


@cache
def faulty() -> dict[str, onnx.ModelProto]:
    cases = map(json.loads, DATA.read_text().splitlines())
    models = {case["id"]: onnx.parser.parse_model(case["model"]) for case in cases}
    return {name: model for name, model in models.items() if faults(model)}


def test_there_are_faults_to_cure() -> None:
    assert len(faulty()) > 25


@pytest.mark.parametrize("name", sorted(faulty()))
def test_a_cured_model_has_no_fault(name: str) -> None:
    model = faulty()[name]
    cured, records = apply_cures(model, {f.cure for f in faults(model)}, opset=11)
    if name in UNSPELLABLE:
        assert "stays" in records[0].notes[0]
    else:
        assert faults(cured) == []


@pytest.mark.parametrize("sdk", known_sdks())
def test_tables_name_cures_that_exist(sdk: str) -> None:
    tables = load_sdk(sdk)
    named = {row.cure for row in (*tables.limits, *tables.faults, *tables.fusions)}
    named |= {row.cure for row in tables.operators.values()}
    assert named - {""} <= set(known_cures())
