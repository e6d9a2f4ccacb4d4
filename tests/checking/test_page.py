"""docs/check.md: what stands below a command is what the command prints."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's model and the command."""
    folder = tmp_path_factory.mktemp("page")
    program = folder / "bin" / "avatar-export"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m avatar_export "$@"\n')
    program.chmod(0o755)
    (model,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    subprocess.run([sys.executable, "-c", model], cwd=folder, check=True)
    return folder


def script(session: str) -> str:
    """A shell script that prints each command and what it says, as a terminal shows it."""
    lines = ["status=0"]
    for command in re.findall(r"^\$ (.*)$", session, re.MULTILINE):
        lines.append(f"printf '%s\\n' {shlex.quote('$ ' + command)}")
        lines.append(f"(exit $status); {command}; status=$?")
    return "\n".join(lines)


@pytest.mark.parametrize("number", range(len(SESSIONS)))
def test_session(number: int, place: Path) -> None:
    """The first sessions make files that later ones use."""
    environment = {
        **os.environ,
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash", "-c", script(SESSIONS[number])],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.stdout == SESSIONS[number]
