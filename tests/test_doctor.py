"""avatar_export/doctor.py: what is looked for, and what is said of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

import pytest

from avatar_export import doctor
from avatar_export.doctor import Check, examine
from tests.dlc.conftest import make_sdk, without_qnn  # noqa: F401 - fixtures

HEADING = "List of devices attached"
PIXEL = "9A281FFAZ product:x device:y model:Pixel_4 transport_id:1"
FakeAdb = Callable[..., dict[str, str]]


def named(name: str, environ: Mapping[str, str]) -> Check:
    (check,) = [check for check in examine(environ) if check.name == name]
    return check


def phones(environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    checks = [check for check in examine(environ) if check.name.startswith("phone")]
    return [(check.name, check.state, check.found) for check in checks]


@pytest.fixture
def adb(tmp_path: Path) -> FakeAdb:
    """An environment whose PATH holds nothing but an adb that prints these lines."""

    def make(*lines: str, script: str = "") -> dict[str, str]:
        (tmp_path / "listed").write_text("".join(f"{line}\n" for line in lines))
        program = tmp_path / "adb"
        listing = "case $1 in version) echo Android Debug Bridge version 1.0.41;; devices) while"
        listing += f" IFS= read -r line; do echo \"$line\"; done < '{tmp_path / 'listed'}';; esac"
        program.write_text(f"#!/bin/sh\n{script or listing}\n")
        program.chmod(0o755)
        return {"PATH": str(tmp_path)}

    return make


# adb


def test_no_adb(tmp_path: Path) -> None:
    check = named("adb", {"PATH": str(tmp_path)})
    assert (check.state, check.found) == ("missing", "")
    assert "platform-tools" in check.advice
    assert not check.required
    assert phones({"PATH": str(tmp_path)}) == []


def test_a_phone(adb: FakeAdb) -> None:
    environ = adb(HEADING, PIXEL.replace(" ", "   device ", 1), "")
    assert named("adb", environ).found == (
        f"Android Debug Bridge version 1.0.41 at {environ['PATH']}/adb"
    )
    assert phones(environ) == [("phone 9A281FFAZ", "ok", "Pixel_4")]


@pytest.mark.parametrize(
    ("line", "state", "advice"),
    [
        ("8XV unauthorized usb:1-1 transport_id:2", "unauthorized", "unlock the phone"),
        ("8XV offline transport_id:2", "offline", "plug it in again"),
        ("8XV recovery model:Pixel_4", "recovery", "adb devices -l"),
        ("8XV no permissions (user in plugdev?); see [http://x]", "no-permissions", "udev"),
    ],
)
def test_a_phone_that_cannot_be_used(line: str, state: str, advice: str, adb: FakeAdb) -> None:
    environ = adb(HEADING, line, "")
    assert phones(environ) == [("phone 8XV", "broken", state)]
    assert advice in named("phone 8XV", environ).advice


def test_several_phones(adb: FakeAdb) -> None:
    lines = ("A device model:One", "emulator-5554 device", "B offline")
    assert phones(adb(HEADING, *lines)) == [
        ("phone A", "ok", "One"),
        ("phone emulator-5554", "ok", ""),
        ("phone B", "broken", "offline"),
    ]


def test_no_phone(adb: FakeAdb) -> None:
    environ = adb(HEADING, "")
    assert phones(environ) == [("phone", "missing", "")]
    assert "USB debugging" in named("phone", environ).advice


def test_lines_about_the_server_are_no_phones(adb: FakeAdb) -> None:
    environ = adb(
        "* daemon not running; starting now at tcp:5037",
        "adb server version (40) doesn't match this client (41); killing...",
        "* daemon started successfully",
        HEADING,
        "A device",
    )
    assert phones(environ) == [("phone A", "ok", "")]


@pytest.mark.parametrize("script", ["exit 1", "exec /no/such/program"])
def test_an_adb_that_fails(script: str, adb: FakeAdb) -> None:
    check = named("adb", adb(script=script))
    assert check.state == "broken"
    assert "kill-server" in check.advice


def test_an_adb_that_cannot_be_started(adb: FakeAdb) -> None:
    environ = adb()
    Path(environ["PATH"], "adb").write_bytes(b"\x7fELF and then nothing")
    assert named("adb", environ).state == "broken"


def test_an_adb_that_hangs(adb: FakeAdb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ADB_TIMEOUT_S", 0.2)
    check = named("adb", adb(script="exec /bin/sleep 60"))
    assert check.state == "broken"
    assert "timed out" in check.found


# SDK and writer


def test_an_sdk(make_sdk: Callable[..., Path]) -> None:  # noqa: F811
    environ = {"SNPE_ROOT": str(make_sdk("2.5.0")), "PATH": ""}
    assert named("SNPE SDK", environ).state == "ok"
    assert named("SNPE SDK", environ).found == f"2.5.0 in {environ['SNPE_ROOT']}"
    assert named("DLC writer", environ).found == "snpe-onnx-to-dlc 2.5.0"


def test_a_variable_that_names_no_sdk(tmp_path: Path) -> None:
    check = named("SNPE SDK", {"SNPE_ROOT": str(tmp_path), "PATH": ""})
    assert check.state == "broken"
    assert f"SNPE_ROOT={tmp_path}" in check.found
    assert check.advice


def test_no_sdk() -> None:
    check = named("SNPE SDK", {"PATH": ""})
    assert (check.state, check.found, check.required) == ("missing", "", False)
    assert "SNPE_ROOT" in check.advice
    assert named("DLC writer", {"PATH": ""}).found.startswith("qnnir ")


def test_no_writer(without_qnn: None) -> None:  # noqa: F811
    check = named("DLC writer", {"PATH": ""})
    assert (check.state, check.required) == ("missing", False)
    assert "pip install 'avatar-export[dlc]'" in check.advice


# Packages


def test_required_packages_are_those_of_the_base_install() -> None:
    required = {check.name for check in examine({"PATH": ""}) if check.required}
    wanted = metadata_of_checkout()
    assert required == wanted


def metadata_of_checkout() -> set[str]:
    import re
    import tomllib

    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())
    return {re.split("[><=;]", line)[0].strip() for line in project["project"]["dependencies"]}


def test_a_missing_package_and_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name in ("onnxsim", "matplotlib"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    onnxsim, plots = (named(name, {"PATH": ""}) for name in ("onnxsim", "matplotlib [plots]"))
    assert (onnxsim.state, onnxsim.required) == ("missing", True)
    assert onnxsim.advice == "pip install 'avatar-export'"
    assert (plots.state, plots.required) == ("missing", False)
    assert plots.advice == "pip install 'avatar-export[plots]'"


@pytest.mark.parametrize("package", ["numpy", "onnx", "torch"])
def test_the_doctor_works_where_nothing_else_does(package: str) -> None:
    """The package cannot be imported, nor does its metadata exist."""
    code = f"""
import sys
from importlib import metadata
sys.modules[{package!r}] = None
real = metadata.version
def version(name):
    if name == {package!r}:
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
from avatar_export.cli import main
sys.argv = ["avatar-export", "doctor"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, "")
    assert f"--  {package}\n    pip install 'avatar-export'\n" in done.stdout
