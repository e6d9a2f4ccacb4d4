"""What a graph is: a module to export, and its inputs and outputs as an application sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

# Opset of every export: the lowest that has GridSample and ScatterElements with reduction.
# Targets that list older operators get the graph lowered by a pass.
EXPORT_OPSET = 16


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Args:
        name: in the ONNX file.
        shape: static, batch first.
        layout: a letter per axis, such as "NCHW"; "OIHW" for convolution weights.
        low, high: range of the values; None where nothing bounds them.
        meaning: one line for the manifest.
        dtype: numpy name.
    """

    name: str
    shape: tuple[int, ...]
    layout: str
    low: float | None
    high: float | None
    meaning: str
    dtype: str = "float32"

    def random(self, rng: np.random.Generator) -> np.ndarray:
        """Uniform values inside the range, or inside [-1, 1] where there is none."""
        low = -1.0 if self.low is None else self.low
        high = 1.0 if self.high is None else self.high
        return rng.uniform(low, high, self.shape).astype(self.dtype)

    def to_dict(self) -> dict[str, object]:
        """For the manifest."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "layout": self.layout,
            "range": [self.low, self.high],
            "meaning": self.meaning,
        }


@dataclass(frozen=True)
class Graph:
    """A named export graph: ``module(*inputs)`` returns the outputs as a tuple, in order."""

    name: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def random_inputs(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Inputs drawn inside their declared ranges."""
        rng = np.random.default_rng(seed)
        return {spec.name: spec.random(rng) for spec in self.inputs}

    def by_name(self, tensors: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Pair output tensors with their names."""
        return {spec.name: x for spec, x in zip(self.outputs, tensors, strict=True)}
