"""Run a tool that may crash, hang or leave children behind."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_OUTPUT_AT_MOST = 16 << 20


@dataclass(frozen=True)
class Outcome:
    """How a tool ended.

    Attributes:
        status: exit status; negative is the number of the signal that killed it, None a timeout.
        output: stdout and stderr in the order they came, at most 16 MiB of them.
    """

    status: int | None
    output: str

    @property
    def ending(self) -> str:
        """The ending in words, to follow the tool's name: ``crashed with SIGSEGV``."""
        if self.status is None:
            return "did not finish in time"
        if self.status < 0:
            return f"crashed with {signal.Signals(-self.status).name}"
        return f"ended with status {self.status}"


def run_tool(
    command: Sequence[str], *, folder: Path, environ: Mapping[str, str], timeout: float
) -> Outcome:
    """Run ``command`` in ``folder``, for ``timeout`` seconds at most.

    The tool gets a session of its own, and the whole session is killed at the end: SDK converters
    fork helpers, and a helper that holds the output open would make a plain wait hang.

    Raises:
        OSError: the command cannot be started.
    """
    with tempfile.TemporaryFile() as sink:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        status = _wait(process, timeout)
        sink.seek(0)
        return Outcome(status, sink.read(_OUTPUT_AT_MOST).decode(errors="replace"))


def _wait(process: subprocess.Popen[bytes], timeout: float) -> int | None:
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _kill_session(process)


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
