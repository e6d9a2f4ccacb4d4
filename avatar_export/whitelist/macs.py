"""Multiply-adds of a node as the judge sees it."""

from __future__ import annotations

from avatar_export.macs import OPERATORS, macs
from avatar_export.whitelist.view import NodeView, UndeterminedError


def node_macs(node: NodeView) -> int:
    """Multiply-adds for one run; 0 where a shape is not fixed or the operator has none."""
    if node.operator not in OPERATORS or node.domain:
        return 0
    try:
        x, w, y = node.shape(0), node.shape(1), node.output_shape()
    except UndeterminedError:
        return 0
    return macs(node.operator, x, w, y, node.attribute("transA") == 1)
