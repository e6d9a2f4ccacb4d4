"""Progress: to a terminal, unless quiet; elsewhere only if verbose."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from avatar_export.cli.common import coloured, progress

Show = Callable[..., str]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    """What stderr, a terminal or a file, gets of one stage."""
    monkeypatch.delenv("NO_COLOR", raising=False)

    def on(terminal: bool, quiet: bool = False, verbose: bool = False) -> str:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
        progress(quiet, verbose)("frame graph")
        said = capsys.readouterr()
        assert said.out == ""
        return said.err

    return on


def test_a_terminal_sees_progress(show: Show) -> None:
    line = show(terminal=True)
    assert line.endswith("  frame graph\n")
    assert "\x1b[2m" in line


def test_quiet_is_quiet(show: Show) -> None:
    assert show(terminal=True, quiet=True) == ""


def test_no_color(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    assert coloured() is None
    monkeypatch.setenv("NO_COLOR", "1")
    assert coloured() is False
    assert show(terminal=True).split() == ["0.0", "s", "frame", "graph"]


def test_a_log_sees_progress_only_if_verbose(show: Show) -> None:
    assert show(terminal=False) == ""
    assert show(terminal=False, verbose=True).split() == ["0.0", "s", "frame", "graph"]


def test_progress_goes_on_when_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("click.echo", gone)
    progress(quiet=False, verbose=True)("a stage")


def test_a_result_that_nobody_reads_is_no_fault() -> None:
    """The exit code of the verb stands: `avatar-export ... | true` must not turn 1 into 0."""
    code = "from avatar_export.cli.common import say; say('x' * 10**6); raise SystemExit(7)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 7
