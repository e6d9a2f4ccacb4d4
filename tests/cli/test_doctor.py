from __future__ import annotations

import json

import pytest

from avatar_export import doctor
from avatar_export.doctor import Check
from tests.cli.conftest import Run

FINE = Check("torch", "ok", "2.0", required=True)
GONE = Check("onnx", "missing", "", "pip install avatar-export", required=True)
OPTIONAL = Check("adb", "missing", "", "install it")
BROKEN = Check("phone 1", "broken", "offline", "unplug it")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """What the doctor finds; tests change the list."""
    checks: list[Check] = []
    monkeypatch.setattr(doctor, "examine", lambda: checks)
    return checks


def test_what_is_optional_may_be_missing(run: Run, found: list[Check]) -> None:
    found += [FINE, OPTIONAL, BROKEN]
    said = run("doctor")
    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines() == [
        "ok  torch                  2.0",
        "--  adb",
        "    install it",
        "!!  phone 1                offline",
        "    unplug it",
    ]


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_is_required_may_not(style: str, run: Run, found: list[Check]) -> None:
    found += [FINE, GONE]
    assert run("doctor", "--format", style).status == 3


def test_json(run: Run, found: list[Check]) -> None:
    found += [FINE, BROKEN]
    first, second = json.loads(run("doctor", "--format", "json").out)
    assert first == vars(FINE)
    assert second["advice"] == "unplug it"


def test_on_this_machine(run: Run) -> None:
    said = run("doctor")
    assert (said.status, said.err) == (0, "")
    assert "ok  torch" in said.out
