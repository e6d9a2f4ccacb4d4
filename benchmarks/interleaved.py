"""Latencies of several runtimes, side by side on a machine that is never quite quiet.

Every runtime has a process of its own: threads that still spin in one would slow the next. They
are asked in turn for a short block of runs, and a block during which other processes worked is
dropped, so that what disturbs one disturbs all, or counts for none.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_CHILD = Path(__file__).parent / "runtime_child.py"
_WARM_UP, _BLOCK = 2, 5  # runs
_LEAST = 30  # runs that a median needs
_PAUSE = 0.05  # seconds, for the threads of the last process to fall asleep


class FailedError(Exception):
    """A runtime does not take the model, or the environment lacks it; the message says why."""


@dataclass(frozen=True)
class Contestant:
    """What is to be timed.

    Attributes:
        label: of its row.
        runtime: name in ``runtime_child.RUNTIMES``.
        python: interpreter of an environment that has the runtime.
        model: file that the runtime loads.
    """

    label: str
    runtime: str
    python: Path
    model: Path


@dataclass
class Samples:
    """Seconds of each run that counts, CPU seconds of a run by block, and blocks dropped.

    ``noise`` is the share of the machine's CPU time that others may take during a block.
    """

    noise: float
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    dropped: int = 0

    def add(self, seconds: Sequence[float], cpu: float, others: float) -> None:
        """Take a block, unless others took too much of the machine meanwhile."""
        if others > self.noise:
            self.dropped += 1
            return
        self.seconds += seconds
        self.cpu.append(cpu)

    @property
    def enough(self) -> bool:
        """Whether there are runs enough for a median."""
        return len(self.seconds) >= _LEAST

    @property
    def median(self) -> float:
        """Seconds of the median run; not a number without runs."""
        return statistics.median(self.seconds) if self.seconds else float("nan")

    @property
    def median_cpu(self) -> float:
        """CPU seconds of a run in the median block; not a number without runs."""
        return statistics.median(self.cpu) if self.cpu else float("nan")


class Child:
    """A process that holds one runtime with one model.

    Raises:
        FailedError: the runtime cannot load or run the model.
    """

    def __init__(self, contestant: Contestant, threads: int, pose: Path, folder: Path) -> None:
        self.contestant = contestant
        self._errors = tempfile.TemporaryFile(mode="w+", dir=folder)  # noqa: SIM115
        outputs = Path(tempfile.mkstemp(".npz", dir=folder)[1])
        command = [contestant.python, "-P", _CHILD, contestant.runtime, contestant.model]
        self._process = subprocess.Popen(
            [*map(str, command), str(threads), str(pose), str(outputs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._answer()
        with np.load(outputs) as arrays:
            self.outputs = list(arrays.values())

    def block(self) -> tuple[list[float], float, float]:
        """Warm up and time one block: seconds, CPU seconds of a run, share of others."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{_WARM_UP} {_BLOCK}\n")
        self._process.stdin.flush()
        answer = self._answer()
        return answer["seconds"], answer["cpu"], answer["others"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._errors.close()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise FailedError(last_line(self._errors.read()))
        return json.loads(line)


def last_line(text: str) -> str:
    """What a failed program said last, advice aside."""
    stripped = (line.strip() for line in text.splitlines())
    lines = [line for line in stripped if line and not line.startswith("hint:")]
    return lines[-1] if lines else "it failed without a word"


def interleaved(
    children: Sequence[Child], wanted: int, limit: float, noise: float
) -> list[Samples]:
    """Time every child in turn until each has ``wanted`` runs that count.

    Args:
        children: in the order of the result; the turn begins elsewhere each time.
        wanted: runs for each.
        limit: seconds after which no new round begins, however few runs count.
        noise: as in :class:`Samples`.
    """
    samples = [Samples(noise) for _ in children]
    end = time.monotonic() + limit
    number = 0
    while time.monotonic() < end and any(len(s.seconds) < wanted for s in samples):
        for k in range(len(children)):
            turn = (k + number) % len(children)
            time.sleep(_PAUSE)
            samples[turn].add(*children[turn].block())
        number += 1
    return samples
