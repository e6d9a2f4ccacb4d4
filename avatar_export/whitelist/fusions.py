"""Which nodes of a model the converter merges, by the patterns of ``fusions.csv``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from avatar_export.whitelist.clauses import MALFORMED, Clauses
from avatar_export.whitelist.patterns import Call, match
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import ModelView, NodeView, UndeterminedError


@dataclass(frozen=True)
class FusionRow:
    """Operators that the converter writes as one operation.

    Attributes:
        when: rules on the anchor; the pattern is merged only where they hold.
        operations: SNPE operations that come of it; None for those of the anchor itself.
        cure: pass that writes the operators so that they are not merged; empty when none does.
    """

    id: str
    pattern: Call
    when: Clauses
    operations: tuple[str, ...] | None
    note: str
    cure: str
    source: str


@dataclass(frozen=True)
class Fusion:
    """One place where a row applies.

    Attributes:
        root: the last operator; it stands for the merged operation.
        anchor: the operator whose attributes and shapes the operation has.
        members: all operators that are merged, the root among them.
        tensor: what goes in, the letter x of the pattern.
    """

    row: FusionRow
    root: NodeView
    anchor: NodeView
    members: tuple[NodeView, ...]
    tensor: str


def find_fusions(view: ModelView, rows: Iterable[FusionRow], target: Target) -> dict[int, Fusion]:
    """Fusions of a model by ``id`` of every member node.

    The rows are tried in order, so that a long pattern goes before the short one inside it; a
    node is merged once.
    """
    by_operator = defaultdict(list)
    for node in view.nodes:
        by_operator[node.operator].append(node)
    found: dict[int, Fusion] = {}
    for row in rows:
        for operator in row.pattern.operators:
            for node in by_operator.get(operator, ()):
                fusion = _fusion(row, node, target)
                if fusion and not any(id(member) in found for member in fusion.members):
                    found |= dict.fromkeys(map(id, fusion.members), fusion)
    return found


def _fusion(row: FusionRow, node: NodeView, target: Target) -> Fusion | None:
    matched = match(row.pattern, node)
    if matched is None or matched.anchor is None:
        return None
    try:
        if row.when.failure(matched.anchor, target):
            return None
    except (UndeterminedError, *MALFORMED):
        return None
    return Fusion(row, node, matched.anchor, matched.nodes, matched.letters.get("x", ""))
