"""benchmarks/interleaved.py: processes take turns, and blocks under load count for nothing."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.interleaved import Child, Contestant, FailedError, Samples, interleaved, last_line

NEGATE = """
<ir_version: 8, opset_import: ["" : 16]>
g (float[1, 4] pose) => (float[1, 4] y, float[1, 4] z) { y = Neg(pose) z = Abs(pose) }
"""


@pytest.fixture
def pose(tmp_path: Path) -> Path:
    np.save(path := tmp_path / "pose.npy", np.float32([[1, -2, 3, -4]]))
    return path


def contestant(model: Path, runtime: str = "onnxruntime") -> Contestant:
    return Contestant("row", runtime, Path(sys.executable), model)


@pytest.fixture
def child(tmp_path: Path, pose: Path) -> Iterator[Child]:
    onnx.save(onnx.parser.parse_model(NEGATE), path := tmp_path / "negate.onnx")
    with closing(Child(contestant(path), 1, pose, tmp_path)) as child:
        yield child


def test_child_gives_outputs_in_the_order_of_the_model(child: Child) -> None:
    negated, absolute = child.outputs
    np.testing.assert_array_equal(negated, [[-1, 2, -3, 4]])
    np.testing.assert_array_equal(absolute, [[1, 2, 3, 4]])


def test_child_times_a_block(child: Child) -> None:
    seconds, cpu, others = child.block()
    assert len(seconds) == 5 and min(seconds) > 0
    assert cpu >= 0 and others >= 0


def test_rounds_go_on_until_every_child_has_its_runs(child: Child) -> None:
    found = interleaved([child, child], wanted=11, limit=60, noise=math.inf)
    assert [len(samples.seconds) for samples in found] == [15, 15]
    assert [samples.dropped for samples in found] == [0, 0]


def test_rounds_end_at_the_limit_when_nothing_counts(child: Child) -> None:
    (samples,) = interleaved([child], wanted=30, limit=0.2, noise=-1)
    assert samples.dropped >= 1
    assert not samples.seconds and not samples.enough and math.isnan(samples.median)


@pytest.mark.parametrize(
    ("model", "runtime", "said"),
    [
        ("missing.onnx", "onnxruntime", "missing.onnx"),
        ("pose.npy", "onnxruntime", "pose.npy"),
        ("pose.npy", "no_such_runtime", "no_such_runtime"),
    ],
)
def test_failure_is_one_line(
    tmp_path: Path, pose: Path, model: str, runtime: str, said: str
) -> None:
    with pytest.raises(FailedError, match=said) as failure:
        Child(contestant(tmp_path / model, runtime), 1, pose, tmp_path)
    assert "\n" not in str(failure.value)


def test_a_block_counts_up_to_the_noise_allowed() -> None:
    samples = Samples(noise=0.06)
    samples.add([1.0, 2.0], 0.5, others=0.06)
    samples.add([90.0, 90.0], 9.0, others=0.07)
    samples.add([6.0], 0.7, others=0.0)
    assert (samples.median, samples.median_cpu, samples.dropped) == (2.0, 0.6, 1)


def test_thirty_runs_are_enough() -> None:
    samples = Samples(noise=1, seconds=[1.0] * 29)
    assert not samples.enough
    samples.add([1.0], 1.0, 0.0)
    assert samples.enough


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Traceback\n  File x\nValueError: no\n\n", "ValueError: no"),
        ("error: unknown verb\nhint: see --help\n", "error: unknown verb"),
        ("", "it failed without a word"),
    ],
)
def test_last_line(text: str, line: str) -> None:
    assert last_line(text) == line
