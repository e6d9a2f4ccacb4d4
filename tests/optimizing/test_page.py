"""docs/optimize.md: what stands below a command is what the command prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run, run

__all__ = ["run"]  # the fixture

PAGE = (Path(__file__).parents[2] / "docs" / "optimize.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"^```console\n\$ avatar-export (.*)\n((?:.*\n)*?)^```", PAGE, re.MULTILINE)


def rounded(text: str) -> str:
    """Without the differences of outputs: they are rounding, which no two processors share."""
    return re.sub(r"\d\.\de-\d\d", "#", text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the model of the page."""
    monkeypatch.chdir(tmp_path)
    (model,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    subprocess.run([sys.executable, "-c", model], check=True)
    return tmp_path


def test_there_are_sessions() -> None:
    assert len(SESSIONS) == 2


@pytest.mark.parametrize(("command", "printed"), SESSIONS)
def test_session(command: str, printed: str, folder: Path, run: Run) -> None:
    said = run(*command.split())
    assert (said.status, said.err) == (0, "")
    assert rounded(said.out) == rounded(printed)
