"""The README's numbers are those that the benchmarks recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

# Row of the README's table -> row of frame_speed.py.
ROWS = {
    "plain, ONNX Runtime": "plain",
    "optimize --target onnxruntime": "ours for onnxruntime",
    "the file for the phone": "ours for adreno640",
    "ncnn": "ncnn",
    "MNN": "MNN",
    "onnxslim": "onnxslim, ONNX Runtime",
    "OpenVINO": "OpenVINO",
    "LiteRT, XNNPACK": "LiteRT XNNPACK",
}


def recorded(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def test_every_row_was_timed() -> None:
    assert sorted(ROWS.values()) == sorted(row["label"] for row in recorded("frame_speed")["rows"])


@pytest.mark.parametrize(("printed", "label"), ROWS.items())
def test_times_as_fast(printed: str, label: str) -> None:
    (line,) = [x for x in README.splitlines() if re.match(rf"\| [*`]*{re.escape(printed)}", x)]
    found = [float(x) for x in re.findall(r"\b\d\.\d\d\b", line)]
    (row,) = [row for row in recorded("frame_speed")["rows"] if row["label"] == label]
    assert all(row[f"threads_{n}"]["runs"] >= 30 for n in (1, 2))
    wanted = [row[f"threads_{n}"]["times_as_fast"] for n in (1, 2)]
    assert found == pytest.approx(wanted, abs=0.006)


@pytest.mark.parametrize(
    ("graph", "line"), [("frame", "one frame at full size"), ("avatar", "the avatar graph")]
)
def test_multiply_adds_and_nodes(graph: str, line: str) -> None:
    (printed,) = [x for x in README.splitlines() if x.startswith(f"| {line}")]
    passes = recorded("pass_costs")[graph]["passes"]
    for step in (passes[0], passes[-1]):
        macs = step["macs"] / 1e9
        assert f"{macs:.2f} G" in printed or f"{macs:.1f} G" in printed
        assert f"{step['nodes']} nodes" in printed
