"""benchmarks/rivals.py: converters run in their own environment, and change no other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks import rivals
from benchmarks.interleaved import FailedError
from benchmarks.rivals import PACKAGES, Environment, call, environment


def test_a_program_that_fails_gives_its_last_line() -> None:
    with pytest.raises(FailedError, match=r"^worse$"):
        call("sh", "-c", "echo bad >&2; echo worse >&2; exit 3")


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="absent: No such file"):
        call(tmp_path / "absent")


def test_a_converter_that_calls_pip_gets_that_of_its_environment(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    pip = tmp_path / "bin" / "pip"
    pip.write_text(f"#!/bin/sh\necho index=$PIP_NO_INDEX $@ > {tmp_path}/said\n")
    pip.chmod(0o755)
    before = dict(os.environ)
    Environment(tmp_path).convert("sh", "-c", "pip install -U telemetry")
    assert (tmp_path / "said").read_text() == "index=1 install -U telemetry\n"
    assert dict(os.environ) == before


def test_an_environment_of_these_packages_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals, "call", lambda *command, **more: pytest.fail(str(command)))
    (tmp_path / "packages.json").write_text(json.dumps(PACKAGES))
    assert environment(tmp_path).python == tmp_path / "bin" / "python"


def test_packages_that_do_not_install_together_are_tried_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse_ncnn(*command: object, **more: object) -> None:
        words = [str(word) for word in command]
        packages = words[words.index("--quiet") + 1 :] if "--quiet" in words else []
        asked.append(packages)
        if any(package.startswith("ncnn") for package in packages):
            raise FailedError("no such wheel")

    monkeypatch.setattr(rivals, "call", refuse_ncnn)
    environment(tmp_path)
    assert asked == [[], list(PACKAGES), *([package] for package in PACKAGES)]
