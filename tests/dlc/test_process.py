from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from avatar_export.dlc.process import run_tool


def run(tmp_path: Path, code: str, timeout: float = 20.0) -> tuple[str, str]:
    command = [sys.executable, "-c", code]
    outcome = run_tool(command, folder=tmp_path, environ=os.environ, timeout=timeout)
    return outcome.ending, outcome.output


def test_both_streams_are_kept_in_order(tmp_path: Path) -> None:
    code = "import sys; print(1, flush=True); print(2, file=sys.stderr, flush=True); print(3)"
    assert run(tmp_path, code) == ("ended with status 0", "1\n2\n3\n")


def test_a_crash_is_named_by_its_signal(tmp_path: Path) -> None:
    assert run(tmp_path, "import os; os.abort()")[0] == "crashed with SIGABRT"


def test_a_hang_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    assert run(tmp_path, "import time; time.sleep(60)", 0.5)[0] == "did not finish in time"
    assert time.monotonic() - began < 10


def test_a_helper_left_behind_neither_blocks_nor_survives(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)"
    )
    began = time.monotonic()
    ending, output = run(tmp_path, code)
    assert ending == "ended with status 0"
    assert time.monotonic() - began < 10
    assert _ends_soon(int(output))


def test_a_missing_command_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run_tool(["/nonexistent/tool"], folder=tmp_path, environ={}, timeout=5)


def _ends_soon(pid: int) -> bool:
    for _ in range(50):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False
