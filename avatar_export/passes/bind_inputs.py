"""Inputs become constants: one person's avatar is put into the frame graph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from avatar_export.errors import ModelError
from avatar_export.passes.base import Pass


class BindInputs(Pass):
    """Turn graph inputs into initializers.

        pose, inf_weight_00, ... -> frame        becomes        pose -> frame

    Args:
        values: the tensors by input name.
    """

    name = "bind-inputs"

    def __init__(self, values: Mapping[str, np.ndarray]) -> None:
        self.values = values

    def requires(self, model: ir.Model) -> None:
        inputs = {value.name: value for value in model.graph.inputs}
        for name, array in self.values.items():
            if name not in inputs:
                raise ModelError(f"{self.name}: the graph has no input {name}")
            self._require_fit(inputs[name], array)

    def apply(self, model: ir.Model) -> list[str]:
        bound = [v for v in model.graph.inputs if v.name in self.values]
        for value in bound:
            model.graph.inputs.remove(value)
            assert value.name is not None
            value.const_value = ir.tensor(self.values[value.name], name=value.name)
            model.graph.register_initializer(value)
        numbers = sum(self.values[v.name].size for v in bound if v.name)
        return [f"{len(bound)} inputs ({numbers} numbers) became constants"] if bound else []

    def _require_fit(self, value: ir.Value, array: np.ndarray) -> None:
        declared, given = value.dtype, ir.DataType.from_numpy(array.dtype)
        if declared not in (None, given):
            raise ModelError(f"{self.name}: {value.name} is {declared} in the graph, {given} given")
        if value.shape is not None and not _fits(value.shape, array.shape):
            raise ModelError(
                f"{self.name}: {value.name} is {value.shape} in the graph, "
                f"{list(array.shape)} given"
            )


def _fits(shape: ir.Shape, given: tuple[int, ...]) -> bool:
    """Whether the ranks are equal, and all dimensions that are numbers."""
    return len(shape) == len(given) and all(
        wanted == size for wanted, size in zip(shape, given, strict=True) if isinstance(wanted, int)
    )
