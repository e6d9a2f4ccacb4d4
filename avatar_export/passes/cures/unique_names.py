"""Every node its own name."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.errors import ModelError
from avatar_export.passes.base import Pass


class UniqueNames(Pass):
    """The second node of a name gets a number after it.

        Tanh [n], Relu [n]     becomes     Tanh [n], Relu [n_1]

    The converter refuses two nodes of one name (snpe-onnx-to-dlc 2.25.0.240728 experiment); the
    ONNX format allows them. Nodes without a name stay so.
    """

    name = "unique-names"

    def apply(self, model: ir.Model) -> list[str]:
        taken = {node.name for node in model.graph if node.name}
        seen: set[str] = set()
        changes = []
        for node in model.graph:
            if not node.name:
                continue
            old = node.name
            if old in seen:
                node.name = _free(old, taken)
                taken.add(node.name)
                self.stamp(node)
                changes.append(f"{old}: the {node.op_type} of this name is now {node.name}")
            seen.add(node.name)
        return changes

    def ensures(self, model: ir.Model) -> None:
        names = [node.name for node in model.graph if node.name]
        if len(names) != len(set(names)):
            raise ModelError(f"{self.name}: two nodes have the same name still")


def _free(name: str, taken: set[str]) -> str:
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
