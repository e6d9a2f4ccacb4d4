"""The small language of the table cells: ``constant(1) and attr(mode linear) or not depthwise``.

``or`` binds tighter than ``and``: a cell is a list of demands, each with its alternatives. Names
are those of ``rules/``; arguments stand in parentheses, parted by spaces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from avatar_export.errors import ModelError
from avatar_export.whitelist.rules.predicates import Rule
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView, UndeterminedError

# What a rule raises that is asked of a node which makes no sense.
MALFORMED = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, StopIteration)
_CALL = re.compile(r"(not )?(\w+)(?:\(([^()]*)\))?")


@dataclass(frozen=True)
class Call:
    """One predicate with its arguments."""

    name: str
    arguments: tuple[str, ...]
    negated: bool
    rule: Rule

    def failure(self, node: NodeView, target: Target) -> str:
        """Why the call does not hold; empty when it holds. Raises ``UndeterminedError``."""
        reason = self.rule(node, target, *self.arguments)
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
            reason = _failure(alternatives, node, target)
            if reason:
                return reason
        return ""


def _failure(alternatives: tuple[Call, ...], node: NodeView, target: Target) -> str:
    """Why none of the alternatives holds; empty as soon as one does."""
    reasons, undetermined = [], None
    for call in alternatives:
        try:
            reason = call.failure(node, target)
        except UndeterminedError as error:
            undetermined = error
            continue
        if not reason:
            return ""
        reasons.append((call.negated, reason))
    if undetermined is not None:
        raise undetermined
    plain = [reason for negated, reason in reasons if not negated]
    return "; ".join(plain or [reason for _, reason in reasons])


def parse(text: str) -> Clauses:
    """Read a cell.

    Raises:
        ModelError: a predicate is unknown, or has the wrong number of arguments.
    """
    parts = text.split(" and ") if text else []
    return Clauses(tuple(tuple(map(_call, part.split(" or "))) for part in parts))


def _call(text: str) -> Call:
    from avatar_export.whitelist.rules.every import (
        PREDICATES,  # late: rules on fusions need clauses
    )

    match = _CALL.fullmatch(text)
    if match is None or match[2] not in PREDICATES:
        raise ModelError(f"unknown rule {text!r}", f"known: {', '.join(sorted(PREDICATES))}")
    arguments = tuple((match[3] or "").split())
    predicate = PREDICATES[match[2]]
    if not predicate.least <= len(arguments) <= predicate.most:
        raise ModelError(f"rule {text!r} has {len(arguments)} arguments")
    return Call(match[2], arguments, bool(match[1]), predicate.function)
