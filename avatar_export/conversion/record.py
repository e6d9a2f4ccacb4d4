"""What a conversion did, as data: the manifest and every report are made from it."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np

from avatar_export import __version__
from avatar_export.dlc import DlcRecord
from avatar_export.files import sha256
from avatar_export.graphs.spec import TensorSpec
from avatar_export.passes.pipeline import PassRecord
from avatar_export.precision.fp16 import Fp16Report
from avatar_export.precision.parity import Parity
from avatar_export.whitelist.judgement import Judgement
from avatar_export.whitelist.target import Target

_TOOLS = ("torch", "onnx", "onnx-ir", "onnxruntime", "onnxruntime-qnn", "onnxsim", "numpy")


@dataclass
class GraphRecord:
    """One ONNX file and what was made from it.

    ``dlc_note`` says why there is no DLC, where there is none.
    """

    file: str
    title: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opset: int
    ir_version: int
    nodes: int
    passes: tuple[PassRecord, ...]
    judgement: Judgement | None = None
    fp16: Fp16Report | None = None
    dlc_file: str = ""
    dlc: DlcRecord | None = None
    dlc_note: str = ""
    observed: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def macs_before(self) -> int:
        """Multiply-adds of the graph as exported."""
        return self.passes[0].macs_before

    @property
    def macs_after(self) -> int:
        """Multiply-adds after the last pass."""
        return self.passes[-1].macs_after

    def observe(self, tensors: dict[str, np.ndarray]) -> None:
        """Widen the recorded range of inputs and outputs by the tensors of one run."""
        for name, tensor in tensors.items():
            low, high = float(tensor.min()), float(tensor.max())
            before = self.observed.get(name, (low, high))
            self.observed[name] = (min(low, before[0]), max(high, before[1]))

    def tensors(self, specs: tuple[TensorSpec, ...]) -> list[dict[str, object]]:
        """Inputs or outputs for the manifest, declared and observed ranges included."""
        described = []
        for spec in specs:
            seen = self.observed.get(spec.name)
            described.append({**spec.to_dict(), "observed": list(seen) if seen else None})
        return described


@dataclass
class Conversion:
    """The whole record.

    Args:
        run: base run folder's name and epoch; enhancer likewise, or empty.
        target: what the graphs were judged for.
        graphs: one record an ONNX file, in the order of writing.
        parity: every comparison that was made.
        pictures: rows of the contact sheet, label and [N, 3, H, W]; empty without a photo.
        hashes: SHA-256 by file name, for every file but the manifest.
        notes: what a reader should know that is no finding.
    """

    run: str
    enhancer: str
    image_size: int
    target: Target
    graphs: list[GraphRecord] = field(default_factory=list)
    parity: list[Parity] = field(default_factory=list)
    pictures: list[tuple[str, np.ndarray]] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def graph(self, file: str) -> GraphRecord:
        """The record of one file.

        Raises:
            KeyError: no such file was written.
        """
        for record in self.graphs:
            if record.file == file:
                return record
        raise KeyError(file)

    @property
    def frame(self) -> GraphRecord:
        """The graph that runs every frame and must fit the target."""
        files = {record.file: record for record in self.graphs}
        return files.get("frame_baked.onnx", files["frame.onnx"])

    @property
    def fits(self) -> bool:
        """Whether the per-frame graph has no error for the target."""
        judgement = self.frame.judgement
        return judgement is not None and not judgement.errors


def tool_versions() -> dict[str, str]:
    """Versions of this package, Python, and every tool that shaped the files."""
    versions = {"avatar-export": __version__, "python": platform.python_version()}
    for name in _TOOLS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = ""
    return versions


def hash_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder, by name."""
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}
