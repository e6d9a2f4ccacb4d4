from __future__ import annotations

import pytest

from avatar_export.optimizing.record import Cost, Optimization, PassResult
from avatar_export.passes.pipeline import PassRecord


def record(name: str = "p", worst: float = 0.0, seconds: float | None = None) -> PassRecord:
    return PassRecord(
        name=name,
        why="because",
        changes=("a: gone",),
        notes=("b stays",),
        nodes_before=5,
        nodes_after=4,
        macs_before=100,
        macs_after=80,
        worst=worst,
        seconds_before=seconds,
        seconds_after=seconds,
    )


def optimization(*records: PassRecord, verified: bool = True) -> Optimization:
    results = tuple(map(PassResult.of, records))
    return Optimization("m", "o", "onnxruntime", "measured", None, "auto", verified, results)


def test_what_the_pipeline_says_of_a_pass() -> None:
    result = PassResult.of(record("p", 1e-7, 0.002))
    assert (result.name, result.why, result.worst) == ("p", "because", 1e-7)
    assert (result.changes, result.notes) == (("a: gone",), ("b stays",))
    assert (result.before, result.after) == (Cost(5, 100, 2.0), Cost(4, 80, 2.0))


def test_without_a_goal_nothing_is_estimated() -> None:
    assert PassResult.of(record()).after.milliseconds is None


def test_the_whole_goes_from_the_first_pass_to_the_last() -> None:
    first, last = record(seconds=0.003), record(seconds=0.001)
    whole = optimization(first, record(), last)
    assert whole.before.milliseconds == pytest.approx(3)
    assert whole.after.milliseconds == pytest.approx(1)


def test_the_worst_difference_is_that_of_any_pass_or_none_at_all() -> None:
    records = (record(worst=1e-7), record(worst=3e-7), record(worst=0.0))
    assert optimization(*records).worst == 3e-7
    assert optimization(*records, verified=False).worst is None
