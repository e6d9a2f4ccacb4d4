"""Constants of the cost model that explain measured times, for ``ort_cost``."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from typing import Any

import click
import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from avatar_export.bench.estimate.machine import USUAL, Machine
from avatar_export.bench.estimate.price import total
from avatar_export.bench.estimate.work import Work
from avatar_export.passes.pipeline import Step, infer_shapes, run_pipeline
from avatar_export.passes.works import works
from benchmarks.ort_blocks import Case

_CACHE = 200e9  # bytes a second: no kernel moves more, even from the nearest cache
_WEIGHTINGS = 20  # after which nothing moves any more

Numbers = NDArray[np.float64]

# A constant of a machine: the name of a rate and, where rates differ by kind of node, the kind.
Constant = tuple[str, str]
_SPREAD: Constant = ("spread_per_second", "")
_LAUNCH: Constant = ("launch_seconds", "")


@dataclass(frozen=True)
class Pair:
    """Two graphs that differ by so many blocks."""

    few: onnx.ModelProto
    many: onnx.ModelProto
    blocks: int

    @classmethod
    def of(cls, case: Case) -> Pair:
        """The graphs of a case."""
        return cls(case.model(1), case.model(1 + case.blocks), case.blocks)

    def after(self, step: Step) -> Pair:
        """Both graphs as a pass writes them."""
        few, many = (run_pipeline(m, [step], {}, verify=False)[0] for m in (self.few, self.many))
        return Pair(few, many, self.blocks)

    @cached_property
    def works(self) -> list[Work]:
        """What the blocks do by which the second graph is longer than the first."""
        few, many = _works(self.few), _works(self.many)
        for work in few:
            many.remove(work)
        return many

    def price(self, machine: Machine) -> float:
        """Seconds of one block by the cost model."""
        return total(machine, self.works) / self.blocks


def _works(model: onnx.ModelProto) -> list[Work]:
    read = ir.from_proto(model)
    infer_shapes(read)
    return works(list(read.graph))


def constants(pairs: Sequence[Pair]) -> list[Constant]:
    """What is to be fitted: the launch, and a rate for each kind of node in the blocks."""
    done = [work for pair in pairs for work in pair.works]
    macs = {work.kind for work in done if work.macs}
    moved = {work.kind for work in done} - {"Reshape"}
    rates = [("macs_per_second", kind) for kind in sorted(macs)]
    return [_LAUNCH, _SPREAD, *rates, *(("bytes_per_second", kind) for kind in sorted(moved))]


def only(machine: Machine, constant: Constant) -> Machine:
    """The machine with one constant set to 1, and all else for nothing: prices are linear."""
    name, kind = constant
    nothing = {USUAL: inf}
    free = {"macs_per_second": nothing, "bytes_per_second": nothing}
    rates: dict[str, Any] = {**free, "launch_seconds": 0.0, "spread_per_second": 0.0}
    return replace(machine, **rates | {name: {**nothing, kind: 1.0} if kind else 1.0})


def fitted(machine: Machine, pairs: Sequence[Pair], measured: Sequence[float]) -> dict[str, Any]:
    """The constants that explain the times best: a half counts as much as twice.

    Least squares of the logarithm of estimate / time, by repeated weighting.
    """
    wanted, times = constants(pairs), np.array(measured)
    prices = np.array([[p.price(only(machine, c)) for c in wanted] for p in pairs])
    least = np.array([1 / _CACHE if name == "bytes_per_second" else 0.0 for name, _ in wanted])
    estimates = times
    for _ in range(_WEIGHTINGS):
        solved = _bounded(prices, times, 1 / np.sqrt(times * estimates), least)
        estimates = prices @ solved
    return _constants(dict(zip(wanted, solved.tolist(), strict=True)))


def _bounded(prices: Numbers, times: Numbers, weights: Numbers, least: Numbers) -> Numbers:
    """Weighted least squares; what comes out below ``least`` is held there, and the rest refitted.

    Raises:
        ClickException: a constant without a bound is not positive: the times were disturbed.
    """
    size = prices.max(axis=0)  # columns differ by many orders of magnitude
    solved, held = np.zeros(len(least)), np.zeros(len(least), bool)
    while True:
        rest = (times - prices[:, held] @ least[held]) * weights
        rows = (prices / size)[:, ~held] * weights[:, None]
        solved[~held] = np.linalg.lstsq(rows, rest, rcond=None)[0] / size[~held]
        solved[held] = least[held]
        if (solved[least == 0] <= 0).any():
            raise click.ClickException("negative times; run it again")
        if (solved >= least).all():
            return solved
        held |= solved < least


def _constants(solved: dict[Constant, float]) -> dict[str, Any]:
    """As ``machines.toml`` writes them; seconds a byte or a multiply-add become rates."""
    macs = {k: rounded(1 / s) for (n, k), s in solved.items() if n == "macs_per_second"}
    moved = {k: rounded(1 / s) for (n, k), s in solved.items() if n == "bytes_per_second"}
    return {
        "launch_seconds": rounded(solved[_LAUNCH]),
        "spread_per_second": rounded(1 / solved[_SPREAD]),
        # A product of matrices is all that is left; of other kernels nothing is known.
        "macs_per_second": {USUAL: macs["Gemm"], **macs},
        "bytes_per_second": {USUAL: rounded(statistics.median(moved.values())), **moved},
    }


def rounded(number: float) -> float:
    """To three digits: more would be noise."""
    return float(f"{number:.3g}")
