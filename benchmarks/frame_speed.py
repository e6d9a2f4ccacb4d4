"""How fast a frame is on this machine's CPU: our graph, the plain one, and the plain one elsewhere.

The full-size baked frame graph, as torch.onnx.export and onnxsim leave it (*plain*), as ``convert``
writes it for a phone and as ``optimize`` writes it for ONNX Runtime, all in ONNX Runtime with
every optimisation on; the plain one also in the runtimes that others would take. Interleaved, in
float32, on one and on two threads. The runtimes are installed into a folder of their own once.

    python -m benchmarks.frame_speed      # 2 minutes once to install, then 3 to 8 by noise
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np

from avatar_export.conversion.build import save
from avatar_export.whitelist.targets import resolve_target
from benchmarks import rivals
from benchmarks.baked_frame import BakedFrame, baked_frame, full_size_model
from benchmarks.interleaved import Child, Contestant, FailedError, Samples, interleaved

RESULT = Path(__file__).parent / "results" / "frame_speed.json"
_ROOT = Path(__file__).parent.parent
_THREADS = (1, 2)
_HERE = Path(sys.executable)


@dataclass
class Row:
    """One line of the table.

    Attributes:
        label: first column.
        samples: by number of threads.
        difference: largest absolute difference from PyTorch over all outputs.
        reason: why there are no numbers; empty where there are.
    """

    label: str
    samples: dict[int, Samples] = field(default_factory=dict)
    difference: float = float("nan")
    reason: str = ""

    def cells(self, plain: Row) -> list[str]:
        """Label, milliseconds and ratio for each number of threads, ratio of CPU time, difference.

        A ratio says how many times as fast as ``plain``.
        """
        if self.reason:
            return [self.label, self.reason]
        cells = [self.label]
        for threads, samples in self.samples.items():
            ratio = plain.samples[threads].median / samples.median
            cells += [f"{1e3 * samples.median:.1f}", f"{ratio:.2f}"]
        cpu = plain.samples[1].median_cpu / self.samples[1].median_cpu
        return [*cells, f"{cpu:.2f}", f"{self.difference:.1e}"]

    def to_dict(self, plain: Row) -> dict[str, object]:
        """The same for the record, with how many runs there were."""
        if self.reason:
            return {"label": self.label, "reason": self.reason}
        found: dict[str, object] = {"label": self.label, "difference": self.difference}
        for threads, samples in self.samples.items():
            reference = plain.samples[threads]
            found[f"threads_{threads}"] = {
                "median_ms": round(1e3 * samples.median, 2),
                "times_as_fast": round(reference.median / samples.median, 3),
                "cpu_ms": round(1e3 * samples.median_cpu, 2),
                "runs": len(samples.seconds),
                "blocks_dropped": samples.dropped,
            }
        return found


def contestants(
    frame: BakedFrame, env_folder: Path, folder: Path
) -> tuple[list[Contestant], list[Row]]:
    """Everything that can be timed, the plain graph first, and a row for what cannot."""
    frame.plain(plain := folder / "plain.onnx")
    makers: dict[str, Callable[[], Contestant]] = {
        "plain": lambda: Contestant("plain", "onnxruntime", _HERE, plain),
        "ours for adreno640": lambda: _ours_for_phone(frame, folder),
        "ours for onnxruntime": lambda: _ours_for_onnxruntime(plain, folder),
    }
    for label, prepare in rivals.RIVALS.items():
        makers[label] = partial(_rival, prepare, env_folder, plain, frame, folder)
    able, unable = [], []
    for label, make in makers.items():
        click.echo(f"making {label}", err=True)
        try:
            able.append(make())
        except FailedError as reason:
            unable.append(Row(label, reason=str(reason)))
    return able, unable


def _rival(
    prepare: rivals.Prepare, env_folder: Path, plain: Path, frame: BakedFrame, folder: Path
) -> Contestant:
    return prepare(rivals.environment(env_folder), plain, frame, folder)


def _ours_for_phone(frame: BakedFrame, folder: Path) -> Contestant:
    """The file that ``convert`` writes for the default target."""
    target = resolve_target()
    save(frame.ours(target).model, out := folder / "phone.onnx")
    return Contestant(f"ours for {target.name}", "onnxruntime", _HERE, out)


def _ours_for_onnxruntime(plain: Path, folder: Path) -> Contestant:
    """What the command line makes of the plain file."""
    out = folder / "optimized.onnx"
    words = ["optimize", plain, "--target", "onnxruntime", "-o", out]
    rivals.call(_HERE, "-m", "avatar_export", *words, cwd=_ROOT)
    return Contestant("ours for onnxruntime", "onnxruntime", _HERE, out)


@dataclass(frozen=True)
class Race:
    """How the contestants are timed.

    Attributes:
        pose: file of the pose that all are run at.
        expected: PyTorch's outputs for it.
        folder: for files of the race.
        wanted, limit, noise: as :func:`interleaved` has them.
    """

    pose: Path
    expected: Sequence[np.ndarray]
    folder: Path
    wanted: int
    limit: float
    noise: float

    def run(self, able: Sequence[Contestant], threads: int, rows: dict[str, Row]) -> None:
        """Time all on so many threads; numbers, or the reason why there are none, go to rows."""
        click.echo(f"timing on {threads} thread(s)", err=True)
        with ExitStack() as stack:
            children = []
            for contestant in able:
                row = rows[contestant.label]
                try:
                    child = Child(contestant, threads, self.pose, self.folder)
                except FailedError as reason:
                    row.reason = str(reason)
                    continue
                children.append(stack.enter_context(closing(child)))
                row.difference = difference(child.outputs, self.expected)
            samples = interleaved(children, self.wanted, self.limit, self.noise)
            for child, found in zip(children, samples, strict=True):
                rows[child.contestant.label].samples[threads] = found


def difference(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Largest absolute difference over all outputs; infinite for other shapes or no numbers."""
    if [x.shape for x in found] != [x.shape for x in expected]:
        return float("inf")
    pairs = zip(found, expected, strict=True)
    worst = max(float(np.abs(x - y).max()) for x, y in pairs)
    return worst if np.isfinite(worst) else float("inf")


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    head = ["graph, runtime"]
    for threads in _THREADS:
        head += [f"ms, {threads} thread{'s' if threads > 1 else ''}", "times as fast"]
    head += ["CPU time, 1 thread", "max difference"]
    lines = [head, ["---"] * len(head), *(row.cells(rows[0]) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def few(rows: Sequence[Row]) -> list[str]:
    """What was timed too seldom for a median, in words."""
    return [
        f"{row.label}: {len(samples.seconds)} quiet runs on {threads} thread(s)"
        for row in rows
        for threads, samples in row.samples.items()
        if not samples.enough
    ]


def record(rows: Sequence[Row], noise: float) -> dict[str, object]:
    """The table for a file, with what it was measured on."""
    with Path("/proc/cpuinfo").open() as file:
        names = [line.partition(": ")[2].strip() for line in file if line.startswith("model name")]
    packages = {name: version(name) for name in ("onnxruntime", "onnxsim", "torch")}
    return {
        "cpu": names[0] if names else "unknown",
        "cores": os.cpu_count(),
        "noise": noise,
        "here": packages,
        "rivals": rivals.PACKAGES,
        "rows": [row.to_dict(rows[0]) for row in rows],
    }


@click.command()
@click.option("--env", default=_ROOT / "build" / "rivals", type=Path, help="Of the runtimes.")
@click.option("--runs", default=60, show_default=True, help="That count, for each median.")
@click.option("--limit", default=200.0, show_default=True, help="Seconds of timing, per threads.")
@click.option("--noise", default=0.06, show_default=True, help="Share others may take of a block.")
def main(env: Path, runs: int, limit: float, noise: float) -> None:
    """Make, time, print a table, and record it; exit code 1 when it was too noisy for a median."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame = baked_frame(full_size_model(folder))
        able, unable = contestants(frame, env.absolute(), folder)
        np.save(pose := folder / "pose.npy", frame.pose)
        race = Race(pose, frame.by_pytorch(), folder, runs, limit, noise)
        timed = {contestant.label: Row(contestant.label) for contestant in able}
        for threads in _THREADS:
            race.run(able, threads, timed)
    rows = [*timed.values(), *unable]
    click.echo(table(rows))
    if noisy := few(rows):
        click.echo("too noisy, not recorded: " + "; ".join(noisy), err=True)
        sys.exit(1)
    RESULT.write_text(json.dumps(record(rows, noise), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
