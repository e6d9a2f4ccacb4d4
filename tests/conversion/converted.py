"""Conversions that many tests look at: each is made once a session, none is modified."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from avatar_export.conversion.convert import convert
from avatar_export.conversion.options import Options
from avatar_export.conversion.record import Conversion
from avatar_export.resources import sample
from benchmarks.synthetic_run import write_run

_FOLDER = tempfile.TemporaryDirectory(prefix="avatar-export-tests.")

GENERIC_FILES = {"avatar.onnx", "frame.onnx", "manifest.json", "report.json", "report.md"}
BAKED_FILES = {"frame_baked.onnx", "frame_baked.fp16.onnx", "avatar.npz", "parity.png"}
DLC_FILES = {"avatar.dlc", "enhance.dlc", "frame_baked.dlc"}


@dataclass(frozen=True)
class Converted:
    """The record of a conversion and the folder that it filled."""

    record: Conversion
    folder: Path

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.folder / "manifest.json").read_text())

    @cached_property
    def person(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / "avatar.npz") as arrays:
            return dict(arrays)

    def model(self, file: str) -> onnx.ModelProto:
        return onnx.load(self.folder / file)


def photo(folder: Path | None = None) -> dict[str, Path]:
    """The options that name the sample's photo."""
    folder = folder or sample()
    return {
        "source": folder / "source.png",
        "keypoints": folder / "keypoints.npy",
        "mask": folder / "mask.png",
    }


@cache
def synthetic_runs() -> tuple[Path, Path]:
    """Base and enhancer run of a small untrained model (64 px)."""
    widths = (8, 32)
    base, enhancer = write_run(
        Path(_FOLDER.name, "runs"),
        64,
        inf=widths,
        emb=widths,
        tex=widths,
        enh=(8, 16),
        enh_blocks=1,
        pose_width=32,
    )
    assert enhancer is not None
    return base, enhancer


@cache
def sample_conversion() -> Converted:
    """What ``avatar-export demo`` makes: the sample with everything, for the default target."""
    runs = sample() / "runs"
    out = Path(_FOLDER.name, "sample")
    options = Options(
        run=runs / "portrait_main",
        enhancer=runs / "portrait_enhancer",
        driving=sample() / "driving.npy",
        out=out,
        **photo(),
    )
    return Converted(convert(options), out)


@cache
def small_conversion() -> Converted:
    """The synthetic run with everything, for SNPE 2.35."""
    base, enhancer = synthetic_runs()
    out = Path(_FOLDER.name, "small")
    options = Options(run=base, enhancer=enhancer, sdk="2.35", out=out, dlc=True, **photo())
    return Converted(convert(options), out)


@dataclass(frozen=True)
class Commanded:
    """What the command line wrote and said."""

    folder: Path
    stdout: str
    stderr: str
    status: int


@cache
def small_by_command() -> Commanded:
    """The conversion of :func:`small_conversion` again, by the command line, in a new process."""
    base, enhancer = synthetic_runs()
    out = Path(_FOLDER.name, "commanded")
    given = [f"--{name}={path}" for name, path in photo().items()]
    command = ["convert", str(base), f"--enhancer={enhancer}", *given, "--sdk=2.35", "--dlc"]
    done = subprocess.run(
        [sys.executable, "-m", "avatar_export", *command, f"--out={out}", "-v", "--format=json"],
        capture_output=True,
        text=True,
    )
    return Commanded(out, done.stdout, done.stderr, done.returncode)
