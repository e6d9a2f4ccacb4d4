"""Names out of a file, fit to be printed."""

from __future__ import annotations

_LONGEST = 80


def quoted(name: str | bytes) -> str:
    """A name in quotes, without control characters, and cut when it is very long."""
    return repr(name) if len(name) <= _LONGEST else f"{name[:_LONGEST]!r}..."
