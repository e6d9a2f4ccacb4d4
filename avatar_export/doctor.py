"""What this machine has for the work: packages, extras, SDK, adb, phones."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from itertools import dropwhile
from typing import Literal

from avatar_export.errors import AvatarExportError

State = Literal["ok", "missing", "broken"]

# Packages by what needs them; "" is the base install.
_PACKAGES: dict[str, tuple[str, ...]] = {
    "": (
        "click",
        "numpy",
        "onnx",
        "onnx-ir",
        "onnxruntime",
        "onnxsim",
        "opencv-python-headless",
        "pillow",
        "torch",
    ),
    "dlc": ("onnxruntime-qnn",),
    "tflite": ("ai-edge-litert", "litert-torch"),
    "plots": ("matplotlib",),
}
_FIRST = "install what every conversion needs first"
_ADB_TIMEOUT_S = 10


@dataclass(frozen=True)
class Check:
    """One thing that was looked for.

    Args:
        name: what.
        state: "ok" if it is there, "broken" if it is there and does not answer as it should. Of
            packages only the presence is looked at, not the import.
        found: version or place, or what is wrong.
        advice: how to get it; empty when it is there.
        required: whether every conversion needs it.
    """

    name: str
    state: State
    found: str
    advice: str = ""
    required: bool = False


def examine(environ: Mapping[str, str] = os.environ) -> list[Check]:
    """Look at everything; never raises, and starts nothing but ``adb``."""
    checks = [Check("python", "ok", f"{platform.python_version()} on {platform.platform()}")]
    for extra, names in _PACKAGES.items():
        checks += [_package(name, extra) for name in names]
    return [*checks, _sdk(environ), _dlc_writer(environ), *_adb(environ)]


def _package(name: str, extra: str) -> Check:
    label = f"{name} [{extra}]" if extra else name
    try:
        return Check(label, "ok", metadata.version(name), required=not extra)
    except metadata.PackageNotFoundError:
        wanted = f"avatar-export[{extra}]" if extra else "avatar-export"
        return Check(label, "missing", "", f"pip install '{wanted}'", required=not extra)


def _sdk(environ: Mapping[str, str]) -> Check:
    """The SNPE or QAIRT SDK that the environment names."""
    try:
        from avatar_export.dlc import sdk

        found = sdk.find(environ)
    except AvatarExportError as error:
        return Check("SNPE SDK", "broken", error.message, error.hint)
    except ImportError as error:
        return Check("SNPE SDK", "broken", f"cannot look for it: {error}", _FIRST)
    if found is None:
        advice = "get the SDK from Qualcomm and set SNPE_ROOT or QAIRT_SDK_ROOT to its folder"
        return Check("SNPE SDK", "missing", "", advice)
    return Check("SNPE SDK", "ok", f"{found.version or 'version unknown'} in {found.root}")


def _dlc_writer(environ: Mapping[str, str]) -> Check:
    """What would write a DLC now."""
    try:
        from avatar_export.dlc import find_writer

        writer = find_writer(environ)
    except AvatarExportError as error:
        return Check("DLC writer", "missing", error.message, error.hint)
    except ImportError as error:
        return Check("DLC writer", "broken", f"cannot look for it: {error}", _FIRST)
    return Check("DLC writer", "ok", f"{writer.name} {writer.version}".strip())


def _adb(environ: Mapping[str, str]) -> list[Check]:
    """The adb program, then every phone it sees."""
    program = shutil.which("adb", path=environ.get("PATH"))
    if program is None:
        advice = "install Android platform-tools, e.g. 'apt-get install adb'"
        return [Check("adb", "missing", "", advice)]
    try:
        version = _run(program, "version").splitlines()
        listed = _run(program, "devices", "-l").splitlines()
    except (OSError, subprocess.SubprocessError) as error:
        return [Check("adb", "broken", f"{program}: {error}", "try 'adb kill-server'")]
    checks = [Check("adb", "ok", f"{version[0] if version else ''} at {program}")]
    phones = [_phone(line) for line in _devices(listed)]
    none = Check("phone", "missing", "", "connect a phone with USB debugging switched on")
    return [*checks, *(phones or [none])]


def _run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, timeout=_ADB_TIMEOUT_S, check=True, stdin=subprocess.DEVNULL
    )
    return done.stdout.decode(errors="replace")


def _devices(lines: list[str]) -> list[str]:
    """Lines of ``adb devices -l`` are ``SERIAL STATE key:value ...`` below a heading.

    Above it, adb tells about its server.
    """
    below = dropwhile(lambda line: not line.startswith("List of"), lines)
    return [line for line in below if len(line.split()) >= 2][1:]


def _phone(line: str) -> Check:
    # The one state of two words: Linux does not let this user open the phone.
    serial, state, *facts = line.replace("no permissions", "no-permissions").split()
    model = next((f.removeprefix("model:") for f in facts if f.startswith("model:")), "")
    if state == "device":
        return Check(f"phone {serial}", "ok", model)
    advice = {
        "unauthorized": "unlock the phone and accept the question about USB debugging",
        "offline": "unplug the phone and plug it in again",
        "no-permissions": "install udev rules, e.g. 'apt-get install android-udev-rules'",
    }.get(state, "see 'adb devices -l'")
    return Check(f"phone {serial}", "broken", state, advice)
