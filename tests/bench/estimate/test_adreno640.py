"""What the numbers of the Adreno 640 say of the frame graph."""

from __future__ import annotations

import json
from pathlib import Path

from avatar_export.bench.estimate.machine import find_machine
from avatar_export.bench.estimate.price import moved_bytes, packed_macs, seconds, total
from avatar_export.bench.estimate.work import Work

ROOT = Path(__file__).parents[3]
ADRENO = find_machine("adreno640")

PIXELS, KERNEL = 8 * 8, 32 * 9


def head(channels: int) -> Work:
    """A 3x3 convolution from 32 channels, with bias."""
    return Work(
        "Conv",
        inputs=((1, 32, 8, 8),),
        outputs=((1, channels, 8, 8),),
        weights=channels * (KERNEL + 1),
        macs=PIXELS * channels * KERNEL,
        channels=(32, channels),
    )


APART, MERGED = [head(2), head(3), head(1)], head(6)


def test_three_narrow_heads_multiply_more_than_one_wide_head() -> None:
    """2, 3 and 1 channels fill up to 4 each; 6 of them to 8."""
    assert sum(work.macs for work in APART) == MERGED.macs
    assert [packed_macs(ADRENO, work) for work in APART] == [PIXELS * 4 * KERNEL] * 3
    assert packed_macs(ADRENO, MERGED) == PIXELS * 8 * KERNEL


def test_three_narrow_heads_read_the_input_three_times() -> None:
    weights = 6 * (KERNEL + 1)
    moved = sum(moved_bytes(ADRENO, work) for work in APART)
    assert moved == 2 * (3 * (32 + 4) * PIXELS + weights)
    assert moved_bytes(ADRENO, MERGED) == 2 * ((32 + 8) * PIXELS + weights)


def test_one_wide_head_is_cheaper_by_more_than_its_launches() -> None:
    assert total(ADRENO, APART) > seconds(ADRENO, MERGED) + 2 * ADRENO.launch_seconds


def test_docs_compare_the_recorded_estimate_with_the_published_time() -> None:
    recorded = json.loads((ROOT / "benchmarks" / "results" / "pass_costs.json").read_text())
    plain = recorded["frame"]["passes"][0]
    page = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    assert plain["name"] == "plain export"
    assert f"{1e3 * plain['seconds']:.1f} ms" in page
    assert "42 ms" in page
