"""The numbers of docs/cost.md are those of the files that it speaks of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from avatar_export.bench.estimate.machine import find_machine
from avatar_export.bench.estimate.price import FREE

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
RECORD: dict[str, Any] = json.loads((ROOT / "benchmarks/results/ort_cost.json").read_text())


def test_every_form_of_upsampling_is_in_the_table() -> None:
    assert len(RECORD["decoders"]) == 16
    for row in RECORD["decoders"]:
        assert f"{row['measured_ms']:g} / {row['estimated_ms']:g}" in PAGE


def test_the_errors_are_those_that_were_recorded() -> None:
    for error in (RECORD["error"]["fitted"], RECORD["error"]["decoders"]):
        assert f"within {100 * error['p50']:.0f} %, nine of ten " in PAGE
        assert f"within {100 * error['p90']:.0f} %" in PAGE
    assert f"{len(RECORD['fitted'])} blocks" in PAGE
    assert RECORD["onnxruntime"] in PAGE and RECORD["processor"] in PAGE


def test_the_ratios_are_those_of_the_times() -> None:
    for row in RECORD["fitted"] + RECORD["decoders"]:
        ratio = row["estimated_ms"] / row["measured_ms"]
        assert abs(ratio - row["ratio"]) < 0.02, row["block"]


def test_the_numbers_of_the_adreno() -> None:
    machine = find_machine("adreno640")
    assert f"| {machine.mac_rate('Conv') / 1e9:g} · 10⁹ a second |" in PAGE
    assert f"| {machine.byte_rate('Conv') / 1e9:g} · 10⁹ bytes a second |" in PAGE
    assert f"| {machine.launch_seconds * 1e6:g} µs |" in PAGE


def test_what_is_free_is_listed() -> None:
    names = sorted(FREE)
    assert f"{', '.join(names[:-1])} and {names[-1]} cost nothing" in PAGE
