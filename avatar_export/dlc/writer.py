"""Choose a DLC writer, run it, and say what its file can be used with."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from avatar_export.dlc import container, interface, netd, qnnir, readers, sdk
from avatar_export.dlc.record import DlcRecord, DlcWriter, IoTensor
from avatar_export.errors import MissingDependency, UserError
from avatar_export.files import write_atomically


def find_writer(environ: Mapping[str, str] = os.environ) -> DlcWriter:
    """The SDK that SNPE_ROOT, QAIRT_SDK_ROOT or QNN_SDK_ROOT names, else onnxruntime-qnn.

    Raises:
        MissingDependency: neither is there, or SNPE_ROOT or QAIRT_SDK_ROOT names no SDK.
    """
    writer = sdk.find(environ) or qnnir.find()
    if writer is None:
        raise MissingDependency(
            "nothing on this machine writes DLC files",
            "pip install 'avatar-export[dlc]' (x86-64 Linux) or set SNPE_ROOT to an SNPE SDK",
        )
    return writer


def write_dlc(
    onnx_path: Path, out: Path, writer: DlcWriter | None = None, *, sdk_wanted: str = ""
) -> DlcRecord:
    """Convert an ONNX model to one DLC, whole or not at all.

    Same input, same writer: same bytes.

    Args:
        onnx_path: a model with fixed shapes.
        out: the file to write; replaced when it exists.
        writer: as `find_writer` gave it; None to find one.
        sdk_wanted: version of the runtime that is to load the file (``2.5``); a writer of another
            generation then gives a warning in the record.

    Raises:
        UserError: a file cannot be read or written.
        ModelError: the model is not taken as a whole; the message names nodes and reasons.
        MissingDependency: there is no writer, or it cannot be started.
    """
    writer = writer or find_writer()
    if not onnx_path.is_file():
        raise UserError(f"cannot read {onnx_path}: there is no such file")
    if out.resolve() == onnx_path.resolve():
        raise UserError(f"{out} would replace the model it is made of")
    warnings: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory(prefix="avatar-export-dlc.") as folder:
        if writer.name == "qnnir":
            data = qnnir.convert(onnx_path, Path(folder))
        else:
            data, warnings = sdk.convert(writer, onnx_path, Path(folder), out.name)
    data = container.normalise(data)
    record = _describe(container.read_members(data), onnx_path, writer)
    notes = filter(None, (readers.mismatch(record, sdk_wanted),))
    write_atomically(out, data)
    return replace(record, warnings=(*warnings, *record.warnings, *notes))


def _describe(members: Mapping[str, bytes], onnx_path: Path, writer: DlcWriter) -> DlcRecord:
    """The record of a DLC, its inputs and outputs compared with those of its ONNX model."""
    major, minor = netd.format_version(members[container.MODEL])
    io: tuple[IoTensor, ...] = ()
    nodes = None
    warnings = [f"DLC format {major}.{minor} is not decoded here: its content was not checked"]
    if major == netd.FORMAT_READ:
        graph = netd.read_graph(members[container.MODEL])
        io, warnings = interface.match_io(interface.load_onnx(onnx_path, weights=False), graph)
        nodes = len(graph.nodes)
    converter_version = container.converter_version(members)
    return DlcRecord(
        writer=writer.name,
        writer_version=writer.version,
        converter_version=converter_version,
        format_version=f"{major}.{minor}",
        readers=readers.expected(writer, converter_version),
        io=io,
        nodes=nodes,
        warnings=tuple(warnings),
    )
