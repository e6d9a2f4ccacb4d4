"""What a cure is: a pass that rewrites the nodes a converter fault concerns, and no others."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import onnx_ir as ir

from avatar_export.errors import ModelError
from avatar_export.passes.base import Pass, drop_unused
from avatar_export.passes.cures.reading import title
from avatar_export.passes.cures.writer import Writer


class LeftAloneError(Exception):
    """A node that a fault concerns, but that has no cure; the message says why, in a few words."""


class Cure(Pass):
    """A rewrite of single nodes, or of the small pattern that ends in one.

    A subclass says which nodes have the fault (:meth:`concerns`) and writes their replacement
    (:meth:`rewrite`). A node that cannot be cured stays as it is, and ``notes`` say why. Only the
    main graph is treated: SNPE's converters have no If, Loop or Scan.
    """

    operators: ClassVar[frozenset[str]]  # those the fault can concern

    def __init__(self) -> None:
        self._left: dict[ir.Node, str] = {}

    @abstractmethod
    def concerns(self, node: ir.Node) -> bool:
        """Whether ``node``, one of ``operators``, has the fault."""

    @abstractmethod
    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        """Write the replacement and say in a few words what it is.

        Raises:
            LeftAloneError: there is no replacement; raised before anything is written.
        """

    def apply(self, model: ir.Model) -> list[str]:
        self._left = {}
        changes = []
        writers = Writer.family(self, model)
        for node in list(model.graph):
            if node.graph is None or not self._finds(node):
                continue  # an earlier rewrite may have taken the node with it
            try:
                changes.append(f"{title(node)}: {self.rewrite(node, writers(node))}")
            except LeftAloneError as reason:
                self._left[node] = f"{title(node)} stays: {reason}"
        self.notes = list(self._left.values())
        if changes:
            drop_unused(model)
        return changes

    def ensures(self, model: ir.Model) -> None:
        for node in model.graph:
            if self._finds(node) and node not in self._left:
                raise ModelError(f"{self.name}: {title(node)} was left as it was")

    def _finds(self, node: ir.Node) -> bool:
        ours = node.domain in ("", "ai.onnx") and node.op_type in self.operators
        return ours and self.concerns(node)
