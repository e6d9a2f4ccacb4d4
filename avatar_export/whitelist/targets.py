"""The chips that a model can be judged for, from ``layer_whitelist/targets.toml``."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

from avatar_export.errors import ModelError, UserError
from avatar_export.resources import layer_whitelist
from avatar_export.whitelist.rows import expect_keys, read_toml
from avatar_export.whitelist.tables import SdkFacts, known_sdks, read_facts
from avatar_export.whitelist.target import Target


@dataclass(frozen=True)
class Chip:
    """One row of the targets: hardware, and the SDK and runtime that are usual for it."""

    chip: str
    gpu: str
    sdk: str
    runtime: str
    max_image_width: int
    source: str


@dataclass(frozen=True)
class TargetsFile:
    """The whole of ``targets.toml``: chips, and the ``layers.csv`` column of each runtime."""

    default: str
    runtimes: dict[str, str]
    chips: dict[str, Chip]


def read_targets(path: Path) -> TargetsFile:
    """Chips and runtimes of a targets file.

    Raises:
        ModelError: a key is unknown or missing, or has the wrong type; the message names it.
    """
    raw = read_toml(path)
    expect_keys(path, "the file", raw, {"default": str, "runtimes": dict, "targets": dict})
    runtimes, chips = raw["runtimes"], raw["targets"]
    assert isinstance(runtimes, dict) and isinstance(chips, dict)  # for mypy; checked above
    types: dict[str, type] = {f.name: int if f.type == "int" else str for f in fields(Chip)}
    for name, entry in runtimes.items():
        expect_keys(path, f"runtime {name}", entry, {"column": str, "about": str})
    for name, entry in chips.items():
        expect_keys(path, f"target {name}", entry, types)
        _one_of(path, f"target {name}: runtime", entry["runtime"], runtimes)
    _one_of(path, "default", raw["default"], chips)
    return TargetsFile(
        str(raw["default"]),
        {name: entry["column"] for name, entry in runtimes.items()},
        {name: Chip(**entry) for name, entry in chips.items()},
    )


def _one_of(path: Path, what: str, name: object, names: dict[str, object]) -> None:
    if name not in names:
        raise ModelError(f"{path}: {what} {name!r} is not in the file")


@cache
def _targets_file() -> TargetsFile:
    return read_targets(layer_whitelist() / "targets.toml")


def known_runtimes() -> tuple[str, ...]:
    """Runtimes that a model can be judged for."""
    return tuple(_targets_file().runtimes)


def load_targets() -> dict[str, Target]:
    """Every chip with its usual SDK and runtime, by name."""
    file = _targets_file()
    return {
        name: Target(name=name, column=file.runtimes[chip.runtime], **vars(chip))
        for name, chip in file.chips.items()
    }


def resolve_target(
    name: str | None = None, sdk: str | None = None, runtime: str | None = None
) -> Target:
    """The named target, or the default one, with its SDK or runtime replaced.

    Raises:
        UserError: the name, SDK or runtime is unknown, or the SDK has no such runtime; the hint
            lists the known ones.
    """
    file, targets = _targets_file(), load_targets()
    name = name or file.default
    _known("target", name, targets)
    target = targets[name]
    sdk, runtime = sdk or target.sdk, runtime or target.runtime
    _known("SDK", sdk, known_sdks())
    _known("runtime", runtime, file.runtimes)
    _offered(sdk, runtime)
    return replace(target, sdk=sdk, runtime=runtime, column=file.runtimes[runtime])


@cache
def _facts(sdk: str) -> SdkFacts:
    return read_facts(layer_whitelist() / sdk / "sdk.toml")


def _offered(sdk: str, runtime: str) -> None:
    """Raise ``UserError`` where no document of the SDK knows the runtime."""
    offered = _facts(sdk).runtimes
    if runtime not in offered:
        raise UserError(f"SNPE {sdk} has no runtime {runtime!r}", f"it has: {', '.join(offered)}")


def _known(what: str, name: str, names: object) -> None:
    listed = [str(n) for n in names] if isinstance(names, (dict, tuple)) else []
    if name not in listed:
        raise UserError(f"unknown {what} {name!r}", f"known: {', '.join(listed)}")
