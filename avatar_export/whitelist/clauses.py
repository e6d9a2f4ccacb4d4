"""The small language of the table cells: ``constant(1) and attr(mode linear) or not depthwise``.

``or`` binds tighter than ``and``: a cell is a list of demands, each with its alternatives. Names
are those of ``predicates.py`` and ``sizes.py``; arguments stand in parentheses, parted by spaces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import avatar_export.whitelist.sizes  # noqa: F401  (registers its rules)
from avatar_export.errors import ModelError
from avatar_export.whitelist.predicates import PREDICATES
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView

_CALL = re.compile(r"(not )?(\w+)(?:\(([^()]*)\))?")


@dataclass(frozen=True)
class Call:
    """One predicate with its arguments."""

    name: str
    arguments: tuple[str, ...]
    negated: bool

    def failure(self, node: NodeView, target: Target) -> str:
        """Why the call does not hold; empty when it holds. Raises ``UndeterminedError``."""
        reason = PREDICATES[self.name].function(node, target, *self.arguments)
        if not self.negated:
            return reason
        return "" if reason else f"{' '.join((self.name, *self.arguments))} is not accepted"


@dataclass(frozen=True)
class Clauses:
    """A conjunction of alternatives."""

    parts: tuple[tuple[Call, ...], ...] = ()

    def failure(self, node: NodeView, target: Target) -> str:
        """Reasons of the first clause of which no alternative holds; empty when all hold.

        Raises:
            UndeterminedError: a shape or value that the clause needs is not fixed.
        """
        for alternatives in self.parts:
            reasons = {call: call.failure(node, target) for call in alternatives}
            if all(reasons.values()):
                plain = [text for call, text in reasons.items() if not call.negated]
                return "; ".join(plain or reasons.values())
        return ""


def parse(text: str) -> Clauses:
    """Read a cell.

    Raises:
        ModelError: a predicate is unknown, or has the wrong number of arguments.
    """
    parts = text.split(" and ") if text else []
    return Clauses(tuple(tuple(map(_call, part.split(" or "))) for part in parts))


def _call(text: str) -> Call:
    match = _CALL.fullmatch(text)
    if match is None or match[2] not in PREDICATES:
        raise ModelError(f"unknown rule {text!r}", f"known: {', '.join(sorted(PREDICATES))}")
    arguments = tuple((match[3] or "").split())
    predicate = PREDICATES[match[2]]
    if not predicate.least <= len(arguments) <= predicate.most:
        raise ModelError(f"rule {text!r} has {len(arguments)} arguments")
    return Call(match[2], arguments, bool(match[1]))
