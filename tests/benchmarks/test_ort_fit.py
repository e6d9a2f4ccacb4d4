"""The fit behind the constants of the machine ``onnxruntime``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from avatar_export.bench.estimate.machine import find_machine
from benchmarks.ort_blocks import cases, decoder_cases
from benchmarks.ort_fit import Pair, constants, fitted

ONNXRUNTIME = find_machine("onnxruntime")


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """Each block at its smallest size: weights of the others take long to make."""
    smallest = {case.name: case for case in sorted(cases(), key=lambda c: -c.channels * c.side)}
    more = [case for case in cases() if "deconv" in case.name or "product" in case.name]
    more += [case for case in cases() if case.name == "conv 3x3" and case.side <= 16]
    return [Pair.of(case) for case in [*smallest.values(), *more]]


def test_times_that_follow_the_model_give_its_constants_back(pairs: list[Pair]) -> None:
    """Every constant can be told from the others by these blocks."""
    wanted = constants(pairs)
    macs = {kind: 1e9 * k for k, (name, kind) in enumerate(wanted, 20) if name.startswith("macs")}
    moved = {kind: 1e9 * k for k, (name, kind) in enumerate(wanted, 5) if name.startswith("bytes")}
    known = {
        "launch_seconds": 2e-6,
        "spread_per_second": 0.8e9,
        "macs_per_second": {"usual": macs["Gemm"], **macs},
        "bytes_per_second": {"usual": float(np.median(list(moved.values()))), **moved},
    }
    machine = replace(ONNXRUNTIME, **known)
    found = fitted(ONNXRUNTIME, pairs, [pair.price(machine) for pair in pairs])
    assert list(found) == list(known)
    for key, value in known.items():
        assert found[key] == pytest.approx(value, rel=0.01)


@pytest.mark.parametrize("case", [*cases(), *decoder_cases()], ids=str)
def test_blocks_keep_the_shape_they_read(case) -> None:  # type: ignore[no-untyped-def]
    small = replace(case, side=min(case.side, 4), channels=16)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(small.model(2)), full_check=True)
