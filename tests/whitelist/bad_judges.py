"""Judges that do what a judge must never do, for the tests of the fuzzer."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from benchmarks import fuzz_check
from benchmarks.fuzz_mutations import seeds


def _is_first(path: Path) -> bool:
    """Whether the call only warms the process up."""
    return path == Path(os.devnull)


def crash(path: Path, number: int) -> tuple[str, str]:
    if not _is_first(path):
        os.kill(os.getpid(), signal.SIGSEGV)
    return "judged", ""


def hang(path: Path, number: int) -> tuple[str, str]:
    while not _is_first(path):
        pass
    return "judged", ""


def memory(path: Path, number: int) -> tuple[str, str]:
    room = b"x" * (0 if _is_first(path) else (fuzz_check.MEGABYTES + 50) * 2**20)
    return "judged", f"{len(room)}"


def traceback(path: Path, number: int) -> tuple[str, str]:
    if not _is_first(path):
        path.write_bytes(seeds()[0])
    return fuzz_check.judge(path, "no number")  # type: ignore[arg-type]
