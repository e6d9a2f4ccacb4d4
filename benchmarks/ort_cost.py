"""What kernels of ONNX Runtime cost on one thread: the constants of the machine ``onnxruntime``.

The blocks of ``ort_blocks`` are timed between convolutions. Their times are sums of what the cost
model charges for each node, so its constants follow by least squares; they are what
``avatar_export/bench/estimate/machines.toml`` holds. Then the equal forms of upsampling with a
convolution, none of which took part in the fit, are timed next to what the model says.

The machine need not be quiet: the time is CPU time of this process, the least of many runs, and
all cases take turns.

    python -m benchmarks.ort_cost             # about 3 minutes; writes results/ort_cost.json
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from avatar_export.bench.estimate.machine import USUAL, Machine, find_machine
from avatar_export.bench.estimate.price import total
from avatar_export.bench.estimate.work import Work
from avatar_export.passes.gather_pixels import GatherPixels
from avatar_export.passes.goal import FEWEST_MACS, Goal, UpsampleForm
from avatar_export.passes.pipeline import Step, infer_shapes, run_pipeline
from avatar_export.passes.upsample_conv import UpsampleConv
from avatar_export.passes.works import works
from benchmarks.ort_blocks import Case, cases, decoder_cases

RESULT = Path(__file__).parent / "results" / "ort_cost.json"
_RUNS = 6  # of each graph in a turn, after one to warm up
_WEIGHTINGS = 20  # after which nothing moves any more
_DIGITS = 3

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


def block_seconds(pairs: Sequence[Pair], turns: int) -> list[float]:
    """CPU seconds of one block of each pair, from the least times of its two graphs."""
    least = np.full((len(pairs), 2), inf)
    for turn in range(turns):
        for k, pair in enumerate(pairs):
            least[k] = np.minimum(least[k], _turn(pair))
        click.echo(f"turn {turn + 1} of {turns}", err=True)
    return [float(t[1] - t[0]) / pair.blocks for t, pair in zip(least, pairs, strict=True)]


def _turn(pair: Pair) -> list[float]:
    """The least CPU seconds of some runs of both graphs, run by turns."""
    sessions = [_session(model) for model in (pair.few, pair.many)]
    shape = sessions[0].get_inputs()[0].shape
    feeds = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    for session in sessions:
        session.run(None, feeds)
    spent = [[_seconds(session, feeds) for session in sessions] for _ in range(_RUNS)]
    return [min(times) for times in zip(*spent, strict=True)]


def _seconds(session: ort.InferenceSession, feeds: dict[str, np.ndarray]) -> float:
    start = time.process_time()
    session.run(None, feeds)
    return time.process_time() - start


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


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

    Raises:
        ClickException: a constant would be negative, because the times were disturbed.
    """
    wanted, times = constants(pairs), np.array(measured)
    prices = np.array([[p.price(only(machine, c)) for c in wanted] for p in pairs])
    size = prices.max(axis=0)  # columns differ by many orders of magnitude
    estimates = times
    for _ in range(_WEIGHTINGS):
        weights = 1 / np.sqrt(times * estimates)
        rows = (prices / size) * weights[:, None]
        solved = np.linalg.lstsq(rows, times * weights, rcond=None)[0] / size
        if (solved <= 0).any():
            bad = [" ".join(c) for c, value in zip(wanted, solved, strict=True) if value <= 0]
            raise click.ClickException(f"negative: {', '.join(bad)}; run it again")
        estimates = prices @ solved
    return _constants(dict(zip(wanted, solved, strict=True)))


def _constants(solved: dict[Constant, float]) -> dict[str, Any]:
    """As ``machines.toml`` writes them; seconds a byte or a multiply-add become rates."""
    macs = {k: _round(1 / s) for (n, k), s in solved.items() if n == "macs_per_second"}
    moved = {k: _round(1 / s) for (n, k), s in solved.items() if n == "bytes_per_second"}
    return {
        "launch_seconds": _round(solved[_LAUNCH]),
        "spread_per_second": _round(1 / solved[_SPREAD]),
        # A product of matrices is all that is left; of other kernels nothing is known.
        "macs_per_second": {USUAL: macs["Gemm"], **macs},
        "bytes_per_second": {USUAL: _round(statistics.median(moved.values())), **moved},
    }


def _round(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def forms(case: Case) -> Iterator[tuple[str, Pair]]:
    """A decoder block in each equal form, as the passes write it."""
    pair = Pair.of(case)
    for form in get_args(UpsampleForm):
        goal = Goal(form, FEWEST_MACS.price, upsample=form)
        written = pair.after(Step(UpsampleConv(goal), "asked for"))
        yield form, written
    anything = Goal("all", lambda nodes: float(nodes[0].graph is not None))
    yield "gather", written.after(Step(GatherPixels(anything), "asked for"))


def table(machine: Machine, named: dict[str, Pair], measured: Sequence[float]) -> list[Any]:
    """Time and price of each pair, and their ratio."""
    rows = []
    for (name, pair), spent in zip(named.items(), measured, strict=True):
        price = pair.price(machine)
        rows.append(
            {
                "block": name,
                "measured_ms": _round(1e3 * spent),
                "estimated_ms": _round(1e3 * price),
                "ratio": round(price / spent, 2),
            }
        )
        click.echo(f"{name:40} {1e3 * spent:8.3f} {1e3 * price:8.3f} {price / spent:6.2f}")
    return rows


def spread(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How far estimates are off: half of them, and nine of ten, by less than so much."""
    off = [abs(row["ratio"] - 1) for row in rows]
    return {f"p{p}": round(float(np.percentile(off, p)), 2) for p in (50, 90)}


@click.command()
@click.option("--turns", default=5, show_default=True, help="Through all cases.")
def main(turns: int) -> None:
    """Measure, fit, print times next to estimates, and record all."""
    machine = find_machine("onnxruntime")
    blocks = {str(case): Pair.of(case) for case in cases()}
    decoders = {f"{k}, {c}": pair for c in decoder_cases() for k, pair in forms(c)}
    measured = block_seconds([*blocks.values(), *decoders.values()], turns)
    found = fitted(machine, list(blocks.values()), measured[: len(blocks)])
    click.echo(json.dumps(found, indent=2))
    machine = replace(machine, **found)
    click.echo(f"{'block':40} {'ms':>8} {'estimate':>8} {'ratio':>6}")
    rows = table(machine, blocks, measured[: len(blocks)])
    unseen = table(machine, decoders, measured[len(blocks) :])
    record = {
        "onnxruntime": ort.__version__,
        "processor": platform.machine(),
        "constants": found,
        "error": {"fitted": spread(rows), "decoders": spread(unseen)},
        "fitted": rows,
        "decoders": unseen,
    }
    click.echo(json.dumps(record["error"]))
    RESULT.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
