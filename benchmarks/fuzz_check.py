"""Hostile models through the reader and the judge: each must be judged, or refused with one line.

Every input runs under a bound of processor time and memory in a child process, so that a crash, a
hang or a memory bomb inside onnx's C++ code is found like any traceback. An input is made from its
number and the seed alone.

    python -m benchmarks.fuzz_check                        # 24,000 inputs, some minutes
    python -m benchmarks.fuzz_check --only 17 --save x.onnx  # what was number 17?
"""

from __future__ import annotations

import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click

from benchmarks.fuzz_mutations import WEIGHTS, hostile

RESULT = Path(__file__).parent / "results" / "fuzz_check.json"
SECONDS = 5
"""Processor time that one input may take."""
MEGABYTES = 256
"""Memory that one input may take, over that of the process before it."""
_HEADROOM = 4 * MEGABYTES * 2**20
_BATCH = 400
_ROOT = Path(__file__).parent.parent
GOOD, BAD = ("judged", "refused"), ("traceback", "crash", "hang", "memory")

Source = Callable[[int], tuple[str, bytes]]
"""(kind, bytes) of an input by its number."""
Judge = Callable[[Path, int], tuple[str, str]]
"""(outcome, detail) of a file and its number."""


@dataclass(frozen=True)
class Outcome:
    """What became of one input; ``detail`` says how a bad one ended."""

    number: int
    kind: str
    outcome: str
    detail: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0


def judge(path: Path, number: int) -> tuple[str, str]:
    """(outcome, detail) of one file, judged for one of the targets in turn."""
    from avatar_export.errors import AvatarExportError
    from avatar_export.onnx_file import read_model
    from avatar_export.whitelist.check import check

    try:
        model = read_model(path)
        judgement = check(model, _targets()[number % len(_targets())])
        json.dumps(judgement.to_dict(), allow_nan=False)
    except AvatarExportError as error:
        return ("refused", error.message) if error.message else ("traceback", "an empty message")
    except MemoryError:
        return "memory", "MemoryError"
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        return "traceback", f"{type(error).__name__}: {error} ({place})"[:300]
    return "judged", ""


def _targets() -> list:  # type: ignore[type-arg]
    from avatar_export.whitelist.targets import resolve_target

    wanted = (("2.25", "cpu"), ("2.5", "gpu_float16"), ("1.43", "gpu"), ("2.35", "gpu"))
    return [resolve_target(None, sdk, runtime) for sdk, runtime in wanted]


def run_inputs(source: Source, numbers: range, judge: Judge) -> Iterator[Outcome]:
    """Judge inputs in this very process, which the processor time limit may end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        (Path(folder) / "w.bin").write_bytes(WEIGHTS)
        for number in numbers:
            kind, data = source(number)
            path.write_bytes(data)
            before, start = _forget_peak(), time.process_time()
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            outcome, detail = judge(path, number)
            signal.setitimer(signal.ITIMER_PROF, 0)
            seconds, grown = time.process_time() - start, _peak_megabytes() - before
            if grown > MEGABYTES:
                outcome, detail = "memory", f"{grown:.0f} MB"
            yield Outcome(number, kind, outcome, detail, seconds, grown)


def _forget_peak() -> float:
    """Start the peak of resident memory anew (proc(5), clear_refs); the megabytes held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak_megabytes()


def _peak_megabytes() -> float:
    """Not ru_maxrss: a new process takes that over from the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def run_child(source: Source, numbers: range, judge: Judge) -> None:
    """Print the outcome of each input, until one of them ends this process."""
    judge(Path(os.devnull), 0)  # imports what every input needs
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + _HEADROOM, size + _HEADROOM))
    for outcome in run_inputs(source, numbers, judge):
        print(json.dumps(asdict(outcome)), flush=True)


def run_batch(source: Source, first: int, last: int, *options: str) -> list[Outcome]:
    """Outcomes of a range of inputs, in as many child processes as it takes.

    Args:
        source: makes the inputs; ``options`` tell the children to do the same.
    """
    outcomes: list[Outcome] = []
    while first < last:
        command = [sys.executable, "-m", "benchmarks.fuzz_check", *options]
        command += ["--child", str(first), str(last)]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=_ROOT, env=_environment()
        )
        outcomes += [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]
        first = outcomes[-1].number + 1 if done.stdout else first
        if first < last:
            outcomes.append(_ended(source(first)[0], first, done))
            first += 1
    return outcomes


def run_seed(seed: int, first: int, last: int, *options: str) -> list[Outcome]:
    """Outcomes of hostile inputs of a seed."""
    return run_batch(partial(hostile, seed=seed), first, last, "--seed", str(seed), *options)


def run_folder(folder: Path) -> list[Outcome]:
    """Outcomes of the .onnx files in a folder, in the order of their names."""
    count = len(list(folder.glob("*.onnx")))
    return run_batch(_files(folder), 0, count, "--folder", str(folder))


def _files(folder: Path) -> Source:
    paths = sorted(folder.glob("*.onnx"))
    return lambda number: (paths[number].stem, paths[number].read_bytes())


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _ended(kind: str, number: int, done: subprocess.CompletedProcess[str]) -> Outcome:
    """The input that ended its process."""
    if done.returncode == -signal.SIGPROF:
        return Outcome(number, kind, "hang", f"more than {SECONDS} s", SECONDS)
    last_line = (done.stderr.strip().splitlines() or [""])[-1]
    return Outcome(number, kind, "crash", f"status {done.returncode}: {last_line[:200]}")


def summarise(outcomes: list[Outcome]) -> dict[str, dict[str, int]]:
    """Counts of outcomes by kind of mutation."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        rows[outcome.kind][outcome.outcome] += 1
    return {kind: {o: rows[kind][o] for o in (*GOOD, *BAD)} for kind in sorted(rows)}


def report(seed: int, outcomes: list[Outcome]) -> dict[str, object]:
    """Print the table and the bad inputs; the record of the run."""
    table = summarise(outcomes)
    click.echo(f"{'':22}" + "".join(f"{name:>11}" for name in (*GOOD, *BAD)))
    for kind, row in table.items():
        click.echo(f"{kind:22}" + "".join(f"{count:11}" for count in row.values()))
    bad = [outcome for outcome in outcomes if outcome.outcome in BAD]
    for outcome in bad[:50]:
        click.echo(f"{outcome.number}: {outcome.outcome}, {outcome.kind}: {outcome.detail}")
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    largest = max(outcomes, key=lambda outcome: outcome.megabytes)
    click.echo(f"slowest {slowest.seconds:.2f} s, largest {largest.megabytes:.0f} MB more")
    return {
        "seed": seed,
        "inputs": len(outcomes),
        "limits": {"seconds": SECONDS, "megabytes": MEGABYTES},
        "outcomes": table,
        "slowest_s": round(slowest.seconds, 2),
        "largest_mb": round(largest.megabytes),
        "bad": [asdict(outcome) for outcome in bad],
    }


@click.command()
@click.option("--inputs", default=24_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("-j", "--jobs", default=2, show_default=True)
@click.option("--only", type=int, help="Make one input and save it, no more.")
@click.option("--save", type=click.Path(path_type=Path), default="hostile.onnx")
@click.option("--child", nargs=2, type=int, hidden=True)
@click.option("--folder", type=click.Path(path_type=Path), hidden=True)
@click.option("--judge", "judge_name", default="benchmarks.fuzz_check:judge", hidden=True)
def main(
    inputs: int,
    seed: int,
    jobs: int,
    only: int | None,
    save: Path,
    child: tuple[int, int] | None,
    folder: Path | None,
    judge_name: str,
) -> None:
    """Judge hostile inputs, print what became of them, and record it."""
    if child:
        source = _files(folder) if folder else partial(hostile, seed=seed)
        run_child(source, range(*child), pkgutil.resolve_name(judge_name))
        return
    if only is not None:
        kind, data = hostile(only, seed)
        save.write_bytes(data)
        click.echo(kind)
        return
    starts = range(0, inputs, _BATCH)
    with ThreadPoolExecutor(jobs) as pool:
        ends = [min(first + _BATCH, inputs) for first in starts]
        batches = pool.map(run_seed, [seed] * len(starts), starts, ends)
        outcomes = [outcome for batch in batches for outcome in batch]
    record = report(seed, outcomes)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if record["bad"] else 0)


if __name__ == "__main__":
    main()
