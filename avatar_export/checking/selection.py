"""Which codes count: ``--select`` and ``--ignore``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from avatar_export.errors import UserError
from avatar_export.whitelist.codes import known_codes


@dataclass(frozen=True)
class Selection:
    """Codes by prefix: ``AX2`` stands for every code that begins with it.

    Attributes:
        select: what counts; empty is everything.
        ignore: what of it does not count after all.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def __contains__(self, code: str) -> bool:
        chosen = not self.select or code.startswith(self.select)
        return chosen and not code.startswith(self.ignore)


def read_selection(select: Iterable[str], ignore: Iterable[str]) -> Selection:
    """Selection from words of the command line, such as ``AX205,AX3``.

    Raises:
        UserError: a prefix fits no code; the hint lists the known ones.
    """
    return Selection(_prefixes(select), _prefixes(ignore))


def _prefixes(words: Iterable[str]) -> tuple[str, ...]:
    given = [part.strip().upper() for word in words for part in word.split(",")]
    prefixes = tuple(part for part in given if part)
    for prefix in prefixes:
        if not any(code.startswith(prefix) for code in known_codes()):
            raise UserError(f"no code begins with {prefix!r}", f"known: {', '.join(known_codes())}")
    return prefixes
