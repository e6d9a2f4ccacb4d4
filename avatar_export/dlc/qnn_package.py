"""The PyPI package onnxruntime-qnn: where its libraries lie, and how to start a child with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

DISTRIBUTION = "onnxruntime-qnn"


def find_library(name: str) -> Path | None:
    """A library of the installed package, such as ``libQnnIr.so``, or None."""
    from importlib import util

    spec = util.find_spec("onnxruntime_qnn")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    return None


def child_environment() -> Mapping[str, str]:
    """Environment for a child process of this package, with ONNX Runtime's telemetry off."""
    source = str(Path(__file__).resolve().parents[2])
    environ = dict(os.environ)
    environ["ORT_DISABLE_TELEMETRY"] = "1"  # else onnxruntime 1.31 leaves an id in ~/.cache
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, (source, environ.get("PYTHONPATH"))))
    return environ
