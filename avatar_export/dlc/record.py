"""What is known about a DLC that was written: by whom, for which runtimes, fed how."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

WriterName = Literal["snpe-onnx-to-dlc", "qnnir"]


@dataclass(frozen=True)
class DlcWriter:
    """A program on this machine that turns ONNX into a DLC.

    Attributes:
        name: ``snpe-onnx-to-dlc`` of an SDK, or ``qnnir`` for the libQnnIr.so of onnxruntime-qnn.
        version: of the SDK (``2.5.0``; empty when its tree does not tell) or of onnxruntime-qnn.
        root: folder of the SDK, or of the Python package that holds libQnnIr.so.
        detail: where it was found, in words.
    """

    name: WriterName
    version: str
    root: Path
    detail: str


@dataclass(frozen=True)
class IoTensor:
    """One network input or output.

    Attributes:
        name: as stored in the DLC, the name to give to the runtime.
        onnx_name: of the same tensor in the ONNX model.
        shape: as stored in the DLC.
        layout: the stored axis format (``NHWC``, ``NF``), or ``as ONNX`` where the writer stored
            none and the shape is that of the ONNX model.
        dtype: as stored in the DLC, by its numpy name.
    """

    direction: Literal["input", "output"]
    name: str
    onnx_name: str
    shape: tuple[int, ...]
    layout: str
    dtype: str


@dataclass(frozen=True)
class Readers:
    """Which runtimes can be expected to load a DLC.

    Attributes:
        expected: the versions, in words.
        evidence: how that is known, and what is not.
        advice: what to do for another runtime.
    """

    expected: str
    evidence: str
    advice: str


@dataclass(frozen=True)
class DlcRecord:
    """Facts of one written DLC, for the manifest.

    Attributes:
        writer: name of the program that made the file.
        writer_version: its version.
        converter_version: the version that the file itself claims; empty where it claims none.
        format_version: of the ``model`` member, ``4.1``.
        readers: runtimes that can be expected to load it.
        io: inputs then outputs, each in the order of the ONNX model; empty for the format of 1.x
            SDKs, which is not decoded here.
        nodes: how many operations the DLC holds; None where ``io`` is empty.
        warnings: one line each, the converter's own and ours.
    """

    writer: WriterName
    writer_version: str
    converter_version: str
    format_version: str
    readers: Readers
    io: tuple[IoTensor, ...]
    nodes: int | None
    warnings: tuple[str, ...]


def release(version: str) -> tuple[int, int] | None:
    """(2, 5) of ``2.5.0.4052``, ``snpe-2.5`` or ``v2.5``; None when there is no number in it."""
    match = re.search(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else None
