"""Where the data that travels with the package lies, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def layer_whitelist() -> Path:
    """The folder of SNPE tables: inside the installed package, or at the top of a checkout."""
    installed = _PACKAGE / "layer_whitelist"
    return installed if installed.is_dir() else _PACKAGE.parent / "layer_whitelist"


def sample() -> Path:
    """The built-in sample: a small trained bi-layer run, a source photo and driving key points."""
    return _PACKAGE / "sample"
