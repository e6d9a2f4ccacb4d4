"""report.json: the whole record of a conversion."""

from __future__ import annotations

import json
from dataclasses import asdict

from avatar_export.conversion.record import Conversion, GraphRecord, tool_versions

# Version of the report's form, as for the manifest.
FORMAT = 1


def report(conversion: Conversion) -> dict[str, object]:
    """The record as plain data."""
    return {
        "format": FORMAT,
        "run": conversion.run,
        "enhancer": conversion.enhancer,
        "target": asdict(conversion.target),
        "fits": conversion.fits,
        "tools": tool_versions(),
        "graphs": [_graph(record) for record in conversion.graphs],
        "parity": [parity.to_dict() for parity in conversion.parity],
        "notes": conversion.notes,
    }


def render(conversion: Conversion) -> str:
    """Indented JSON with a final newline."""
    return json.dumps(report(conversion), indent=2, allow_nan=False) + "\n"


def _graph(record: GraphRecord) -> dict[str, object]:
    return {
        "file": record.file,
        "title": record.title,
        "opset": record.opset,
        "nodes": record.nodes,
        "macs_before": record.macs_before,
        "macs_after": record.macs_after,
        "passes": [p.to_dict() for p in record.passes],
        "judgement": record.judgement.to_dict() if record.judgement is not None else None,
        "fp16": record.fp16.to_dict() if record.fp16 is not None else None,
        "dlc": record.dlc_file or None,
        "dlc_note": record.dlc_note,
    }
