"""What to write instead of an operator that no converter takes, or a layer that a runtime lacks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from avatar_export.resources import layer_whitelist
from avatar_export.whitelist.rows import read_rows


def advice(kind: str, subject: str) -> str:
    """One line from ``advice.csv``; empty when there is none.

    Args:
        kind: ``operator`` or ``operation``.
        subject: ONNX operator or SNPE operation.
    """
    return _rows().get((kind, subject), "")


@cache
def _rows() -> Mapping[tuple[str, str], str]:
    rows = read_rows(layer_whitelist() / "advice.csv")
    return {(row["kind"], row["subject"]): row["advice"] for row in rows}
