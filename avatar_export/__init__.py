"""Export neural head avatars to phones: restricted-op ONNX and DLC that fit SNPE's layer list.

The names below are the Python API, the one that the command line uses. They are imported when first
asked for: torch and onnx take seconds, and `avatar-export --help` must not.
"""

import importlib
import os
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# onnxruntime writes a device id and a telemetry database to the home folder on import unless told
# not to. A build tool leaves no traces that nobody asked for.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from avatar_export.conversion.convert import convert
    from avatar_export.conversion.options import Options
    from avatar_export.conversion.record import Conversion
    from avatar_export.dlc.writer import write_dlc
    from avatar_export.networks.run_folder import load_model
    from avatar_export.precision.fp16 import to_fp16
    from avatar_export.whitelist.check import check
    from avatar_export.whitelist.targets import resolve_target

_HOMES = {
    "Conversion": "conversion.record",
    "Options": "conversion.options",
    "check": "whitelist.check",
    "convert": "conversion.convert",
    "load_model": "networks.run_folder",
    "resolve_target": "whitelist.targets",
    "to_fp16": "precision.fp16",
    "write_dlc": "dlc.writer",
}

__all__ = [
    "Conversion",
    "Options",
    "check",
    "convert",
    "load_model",
    "resolve_target",
    "to_fp16",
    "write_dlc",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
