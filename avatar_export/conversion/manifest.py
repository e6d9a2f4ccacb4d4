"""manifest.json: what an application or a CI job must know about every file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from avatar_export.conversion.record import Conversion, GraphRecord, tool_versions

# Version of the manifest's form; grows when a reader of the old form would misread the new one.
FORMAT = 1


def manifest(conversion: Conversion) -> dict[str, object]:
    """The manifest as plain data.

    The same conversion with the same tools gives the same manifest: no dates, no paths of this
    machine.
    """
    return {
        "format": FORMAT,
        "run": conversion.run,
        "enhancer": conversion.enhancer,
        "image_size": conversion.image_size,
        "target": asdict(conversion.target),
        "tools": tool_versions(),
        "files": _files(conversion),
    }


def write_manifest(conversion: Conversion, path: Path) -> None:
    """Write the manifest as indented JSON."""
    text = json.dumps(manifest(conversion), indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def listed_files(folder: Path) -> list[str]:
    """Names of the files that our manifest in ``folder`` lists; empty when there is none.

    Only plain names count, and only in a manifest of this program: they name what gets replaced.
    """
    try:
        found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if found["format"] != FORMAT or "avatar-export" not in found["tools"]:
            return []
        return [name for name in dict(found["files"]) if Path(name).name == name]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def _files(conversion: Conversion) -> dict[str, object]:
    """One entry a file: its hash, and what its kind needs."""
    entries: dict[str, dict[str, object]] = {
        name: {"sha256": digest} for name, digest in conversion.hashes.items()
    }
    for record in conversion.graphs:
        entries[record.file] |= _graph(record)
        if record.dlc is not None:
            entries[record.dlc_file] |= _dlc(record)
    return dict(sorted(entries.items()))


def _graph(record: GraphRecord) -> dict[str, object]:
    return {
        "title": record.title,
        "runtime": record.judgement.target.runtime if record.judgement is not None else None,
        "inputs": record.tensors(record.inputs),
        "outputs": record.tensors(record.outputs),
        "opset": record.opset,
        "ir_version": record.ir_version,
        "nodes": record.nodes,
        "macs_before": record.macs_before,
        "macs_after": record.macs_after,
        "passes": [p.name for p in record.passes if p.changes],
        "precision": "float16" if record.fp16 is not None else "float32",
        "dlc": record.dlc_file or None,
        "dlc_note": record.dlc_note,
    }


def _dlc(record: GraphRecord) -> dict[str, object]:
    assert record.dlc is not None
    return {"made_from": record.file, **asdict(record.dlc)}
