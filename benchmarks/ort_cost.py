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
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
import onnx
import onnxruntime as ort

from avatar_export.bench.estimate.machine import Machine, find_machine
from avatar_export.passes.gather_pixels import GatherPixels
from avatar_export.passes.goal import FEWEST_MACS, Goal, UpsampleForm
from avatar_export.passes.pipeline import Step
from avatar_export.passes.upsample_conv import UpsampleConv
from benchmarks.ort_blocks import Case, cases, decoder_cases
from benchmarks.ort_fit import Pair, fitted, rounded

RESULT = Path(__file__).parent / "results" / "ort_cost.json"
_RUNS = 6  # of each graph in a turn, after one to warm up


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
                "measured_ms": rounded(1e3 * spent),
                "estimated_ms": rounded(1e3 * price),
                "ratio": round(price / spent, 2),
            }
        )
        click.echo(f"{name:40} {1e3 * spent:8.3f} {1e3 * price:8.3f} {price / spent:6.2f}")
    return rows


def spread(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How far estimates are off: half of them, and nine of ten, by less than so much."""
    off = [abs(row["ratio"] - 1) for row in rows]
    return {f"p{p}": round(float(np.percentile(off, p)), 2) for p in (50, 90)}


def processor() -> str:
    """Model name of the CPU, as Linux tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))


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
        "processor": processor(),
        "constants": found,
        "error": {"fitted": spread(rows), "decoders": spread(unseen)},
        "fitted": rows,
        "decoders": unseen,
    }
    click.echo(json.dumps(record["error"]))
    RESULT.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
