"""The runtimes that others would use for the same plain graph, in an environment of their own.

They need 2.5 GB and are no part of this project, so they are installed once, into a folder.
Conversions run there too; what cannot be converted is a row with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.baked_frame import BakedFrame
from benchmarks.interleaved import Contestant, FailedError, last_line

PACKAGES = (
    "torch==2.13.0",  # pnnx and litert-torch want one; a bare one is gigabytes of CUDA
    "onnx==1.23.2",
    "onnxslim==0.1.98",
    "openvino==2026.4.1",
    "MNN==3.6.1",
    "ncnn==1.0.20261020",
    "pnnx==20261020",
    "ai-edge-litert==2.3.0",
    "litert-torch==0.10.0",
)
_TFLITE = """
import sys, torch, litert_torch
program = torch.export.load(sys.argv[1])
litert_torch.convert(program.module(), program.example_inputs[0]).export(sys.argv[2])
"""
# Not the program mnnconvert: it installs a package with the first pip on the path, which may be
# that of another environment, and sends usage data (MNN 3.6.1, MNN/tools/utils/log.py).
_MNN = """
import sys, MNN, _tools
_tools.mnnconvert(["mnnconvert", *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Environment:
    """A Python environment that holds the rivals."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.tool("python")

    def tool(self, name: str) -> Path:
        """A program of it."""
        return self.folder / "bin" / name

    def convert(self, *command: object, cwd: Path | None = None) -> None:
        """Run a converter, which may install nothing: not here, and still less elsewhere.

        Raises:
            FailedError: as :func:`call`.
        """
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}
        call(*command, cwd=cwd, env={**os.environ, "PATH": path, **offline})


def environment(folder: Path) -> Environment:
    """An environment with :data:`PACKAGES`, made anew if the folder holds anything else.

    Raises:
        FailedError: there is no environment, or not a single package in it.
    """
    made = Environment(folder)
    done, wanted = folder / "packages.json", json.dumps(PACKAGES)
    if done.is_file() and done.read_text() == wanted:
        return made
    call(sys.executable, "-m", "venv", "--clear", folder)
    pip = (made.python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    try:
        call(*pip, *PACKAGES)
    except FailedError:
        _one_by_one(pip)
    done.write_text(wanted)
    return made


def _one_by_one(pip: tuple[object, ...]) -> None:
    """What can be installed without the rest; a rival that cannot says so when it is run."""
    for package in PACKAGES:
        with suppress(FailedError):
            call(*pip, package)


def call(*command: object, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run a program.

    Raises:
        FailedError: it is missing or fails; the message is what it said last.
    """
    words = [str(word) for word in command]
    try:
        subprocess.run(words, check=True, cwd=cwd, env=env, capture_output=True, text=True)
    except OSError as error:
        raise FailedError(f"{words[0]}: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        raise FailedError(last_line(error.stderr or error.stdout)) from error


def onnxslim(env: Environment, plain: Path, frame: BakedFrame, folder: Path) -> Contestant:
    """The plain graph after onnxslim, in the same ONNX Runtime as ours."""
    env.convert(env.python, "-m", "onnxslim", plain, out := folder / "slim.onnx")
    return Contestant("onnxslim, ONNX Runtime", "onnxruntime", Path(sys.executable), out)


def openvino(env: Environment, plain: Path, frame: BakedFrame, folder: Path) -> Contestant:
    """OpenVINO reads ONNX itself."""
    return Contestant("OpenVINO", "openvino", env.python, plain)


def mnn(env: Environment, plain: Path, frame: BakedFrame, folder: Path) -> Contestant:
    """MNN's own converter, without options that change numbers."""
    options = ["-f", "ONNX", "--modelFile", plain, "--bizCode", "frame", "--MNNModel"]
    env.convert(env.python, "-c", _MNN, *options, out := folder / "frame.mnn")
    return Contestant("MNN", "mnn", env.python, out)


def ncnn(env: Environment, plain: Path, frame: BakedFrame, folder: Path) -> Contestant:
    """pnnx, ncnn's converter, with float32 weights; it writes beside a copy of the model."""
    (copy := folder / "ncnn").mkdir()
    (copy / "frame.onnx").write_bytes(plain.read_bytes())
    shape = f"inputshape={list(frame.pose.shape)}"
    env.convert(env.tool("pnnx"), "frame.onnx", shape, "fp16=0", cwd=copy)
    return Contestant("ncnn", "ncnn", env.python, copy / "frame.ncnn.param")


def litert(env: Environment, plain: Path, frame: BakedFrame, folder: Path) -> Contestant:
    """litert-torch, which begins at PyTorch: ONNX does not come into it."""
    program = torch.export.export(frame.module, (torch.from_numpy(frame.pose),))
    torch.export.save(program, saved := folder / "frame.pt2")
    env.convert(env.python, "-c", _TFLITE, saved, out := folder / "frame.tflite")
    return Contestant("LiteRT XNNPACK", "litert", env.python, out)


Prepare = Callable[[Environment, Path, BakedFrame, Path], Contestant]

RIVALS: dict[str, Prepare] = {
    "onnxslim": onnxslim,
    "OpenVINO": openvino,
    "MNN": mnn,
    "ncnn": ncnn,
    "LiteRT XNNPACK": litert,
}
