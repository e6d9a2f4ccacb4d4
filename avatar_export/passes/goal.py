"""What a choice between equal forms is made for: the price of nodes, and what the target takes.

Passes know no targets. Whoever runs them for one hands in a :class:`Goal`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from avatar_export.passes.macs import node_macs

UpsampleForm = Literal["resize", "deconv", "subpixel"]

Nodes = Sequence[ir.Node]


@dataclass(frozen=True)
class Goal:
    """A runtime to please.

    Attributes:
        name: of the target, for what is said to people.
        price: estimated seconds of nodes whose inputs and outputs have shapes, in a graph or not.
        refusal: why the target refuses the second nodes although it takes the first, in a few
            words; empty when it takes them too, or refused the first as well.
        upsample: form of upsampling that is wanted whatever it costs; None lets the price decide.
    """

    name: str
    price: Callable[[Nodes], float]
    refusal: Callable[[Nodes, Nodes], str] = lambda old, new: ""
    upsample: UpsampleForm | None = None


def _multiply_adds(nodes: Nodes) -> float:
    # A picosecond each, and a nanosecond a node: of two forms with equal sums the shorter wins.
    return 1e-12 * sum(node_macs(node) for node in nodes) + 1e-9 * len(nodes)


FEWEST_MACS = Goal("fewest multiply-adds", _multiply_adds)
"""The goal when no target is known."""
