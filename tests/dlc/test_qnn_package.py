"""The package is found or not, and children run this source without telemetry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import avatar_export
from avatar_export.dlc.qnn_package import child_environment, find_library


def test_a_library_that_is_not_there() -> None:
    assert find_library("libNothing.so") is None


def test_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert find_library("libQnnIr.so") is None


def test_a_child_imports_this_source(tmp_path: Path) -> None:
    script = "import avatar_export, os; print(avatar_export.__file__, os.environ['X'])"
    environ = {**child_environment(), "X": "kept"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert done.stdout.split() == [avatar_export.__file__, "kept"]
    assert environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert environ["PYTHONPATH"].split(os.pathsep)[0] == str(
        Path(avatar_export.__file__).parents[1]
    )
