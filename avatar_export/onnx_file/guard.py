"""What is read must not be written over."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from avatar_export.errors import UserError


def guard_inputs(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Refuse to write over a file that is read, or to write two things into one.

    Raises:
        UserError: an output is an input of this run, a folder, or named twice.
    """
    taken = set(map(os.path.realpath, inputs))
    for output in outputs:
        if os.path.isdir(output):  # noqa: PTH112 - pathlib raises for names too long, and loops
            raise UserError(f"{output} is a folder", "name a file")
        if os.path.realpath(output) in taken:
            raise UserError(f"{output} is already in use in this run", "name another file to write")
        taken.add(os.path.realpath(output))
