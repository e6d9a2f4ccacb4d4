"""The codes of findings: what each means, as data of ``layer_whitelist/codes.toml``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from avatar_export.errors import ModelError, UserError
from avatar_export.resources import layer_whitelist
from avatar_export.whitelist.rows import read_toml


@dataclass(frozen=True)
class Code:
    """What a code stands for.

    Attributes:
        code: such as ``AX101``; never given a second meaning.
        title: one line, to follow the code.
        why: what goes wrong when it is ignored.
        remedy: what to do in general.
    """

    code: str
    title: str
    why: str
    remedy: str

    @property
    def page(self) -> str:
        """Path of the code's page in the repository."""
        return f"docs/checks/{self.code}.md"


@cache
def known_codes() -> dict[str, Code]:
    """Every code, in order.

    Raises:
        ModelError: the file is damaged.
    """
    return read_codes(layer_whitelist() / "codes.toml")


def read_codes(path: Path) -> dict[str, Code]:
    """Codes of a file.

    Raises:
        ModelError: a key is unknown or missing, or has the wrong type; the message names it.
    """
    expected = {f.name for f in fields(Code)} - {"code"}
    codes = {}
    for code, entry in read_toml(path).items():
        if not isinstance(entry, dict) or set(entry) != expected:
            raise ModelError(f"{path}: {code}: the keys must be {', '.join(sorted(expected))}")
        if not all(isinstance(text, str) and text for text in entry.values()):
            raise ModelError(f"{path}: {code}: every key must be a text")
        codes[code] = Code(code=code, **entry)
    return codes


def find_code(code: str) -> Code:
    """One code.

    Raises:
        UserError: there is none of this name; the hint lists the known ones.
    """
    codes = known_codes()
    if code.upper() not in codes:
        raise UserError(f"unknown code {code!r}", f"known: {', '.join(codes)}")
    return codes[code.upper()]
