"""The files that a check run is about."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from avatar_export.errors import UserError

_SUFFIXES = (".dlc", ".onnx")
_ZIP = b"PK\x03\x04"


def find_models(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Files as they were given, each once; a folder stands for the models below it, sorted.

    Raises:
        UserError: a folder holds no model, or cannot be read.
    """
    found: dict[str, Path] = {}
    for path in paths:
        for model in _models_of(path):
            found.setdefault(os.path.abspath(model), model)  # noqa: PTH100 - links stay apart
    return tuple(found.values())


def _models_of(path: Path) -> list[Path]:
    if not os.path.isdir(path):  # noqa: PTH112 - pathlib raises for names too long, and loops
        return [path]
    try:
        models = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    except OSError as error:
        raise UserError(f"cannot look through {path}: {error.strerror}") from error
    if not models:
        raise UserError(f"no .onnx or .dlc file below {path}")
    return models


def is_dlc(path: Path) -> bool:
    """Whether the file begins as a DLC does, which is a ZIP archive; the suffix says nothing."""
    if not os.path.isfile(path):  # noqa: PTH113 - as above; opening a pipe may wait forever
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(len(_ZIP)) == _ZIP
    except OSError:
        return False  # whoever reads it next says what is wrong
