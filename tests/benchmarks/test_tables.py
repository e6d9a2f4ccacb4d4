"""Tables of benchmarks/frame_speed.py and benchmarks/pass_costs.py, from numbers made up here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.judgement import Judgement
from avatar_export.whitelist.targets import resolve_target
from benchmarks.frame_speed import Row, difference, few
from benchmarks.interleaved import Samples
from benchmarks.pass_costs import Line, misses

PLAIN_LINE = Line("plain export", 0, 97, 4_314_000_000, 0.02, 0.0)
LAST_LINE = Line("lower-opset", 3, 70, 2_500_000_000, 0.01, 2.6e-6)
WARNING = Finding("AX101", Severity.WARNING, Verdict.CONSTRAINED, "n", "Conv", "why", "source")


def row(label: str, one: float, two: float, runs: int = 30) -> Row:
    """A row whose runs all took so many seconds on one and on two threads."""
    timed = {k: Samples(1, [x] * runs, [x]) for k, x in ((1, one), (2, two))}
    return Row(label, timed, 2e-6)


def judged(*findings: Finding) -> Judgement:
    return Judgement(resolve_target(), findings, ())


def test_ratio_says_how_many_times_as_fast_as_plain() -> None:
    plain, ours = row("plain", 0.060, 0.030), row("ours", 0.040, 0.015)
    assert ours.cells(plain) == ["ours", "40.0", "1.50", "15.0", "2.00", "1.50", "2.0e-06"]
    assert plain.cells(plain)[2] == "1.00"
    assert ours.to_dict(plain)["threads_2"] == {
        "median_ms": 15.0,
        "times_as_fast": 2.0,
        "cpu_ms": 15.0,
        "runs": 30,
        "blocks_dropped": 0,
    }


def test_a_row_without_numbers_gives_its_reason() -> None:
    plain, absent = row("plain", 1, 1), Row("MNN", reason="no such wheel")
    assert absent.cells(plain) == ["MNN", "no such wheel"]
    assert absent.to_dict(plain) == {"label": "MNN", "reason": "no such wheel"}


def test_too_few_runs_are_named() -> None:
    rows = [row("plain", 1, 1), row("ours", 1, 1, runs=29), Row("MNN", reason="absent")]
    assert few(rows) == [
        "ours: 29 quiet runs on 1 thread(s)",
        "ours: 29 quiet runs on 2 thread(s)",
    ]


def test_difference_is_the_largest_of_all_outputs() -> None:
    one, two = np.float32([[1, 2]]), np.float32([[5]])
    assert difference([one, two], [one, two]) == 0
    assert difference([one, two - 3], [one + 1, two]) == 3
    assert difference([one], [one, two]) == float("inf")


def test_difference_of_what_is_not_a_number_is_infinite() -> None:
    one = np.float32([[1, 2]])
    assert difference([one * np.nan], [one]) == float("inf")


def test_a_line_shows_giga_and_milli() -> None:
    assert str(LAST_LINE) == "| lower-opset | 3 | 70 | 2.500 | 10.00 | 2.6e-06 |"
    assert str(replace(PLAIN_LINE, seconds=None)) == "| plain export |  | 97 | 4.314 |  |  |"


def test_nothing_is_missed() -> None:
    assert misses([PLAIN_LINE, LAST_LINE], [judged(), judged(WARNING)]) == []


def test_everything_is_missed() -> None:
    middle = Line("worse", 1, 80, 3_000_000_000, 0.01, 2e-5)
    last = replace(LAST_LINE, macs=2_511_000_000, nodes=98)
    error = replace(WARNING, severity=Severity.ERROR)
    missed = misses([PLAIN_LINE, middle, last], [judged(WARNING), judged(error)])
    assert [line.partition(",")[0].split()[-1] for line in missed] == [
        "GMAC",
        "nodes",
        "2.0e-05",
        "findings",
        "errors",
    ]
