"""How large the tensors of a model get on given inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from avatar_export.precision.runner import OnnxRunner

_PREFIX = "largest/"


def largest_values(
    model: onnx.ModelProto, runs: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, float]:
    """Largest absolute value of every float32 tensor that a node of the model makes.

    Infinite where a tensor held NaN.

    The reduction runs inside the graph, so that memory stays that of one run.

    Args:
        model: with typed intermediate values (run shape inference first); untyped ones are left
            out.
        runs: inputs by name, one mapping a run.

    Raises:
        ModelError: ONNX Runtime cannot run the model.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    graph = probe.graph
    typed = {
        value.name
        for value in (*graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    made = [name for node in model.graph.node for name in node.output if name in typed]
    del graph.output[:]
    for name in made:
        magnitude = f"{_PREFIX}magnitude/{name}"
        graph.node.append(helper.make_node("Abs", [name], [magnitude]))
        largest = helper.make_node("ReduceMax", [magnitude], [_PREFIX + name], keepdims=0)
        graph.node.append(largest)
        graph.output.append(helper.make_tensor_value_info(_PREFIX + name, TensorProto.FLOAT, []))
    runner = OnnxRunner(probe)
    found = dict.fromkeys(made, 0.0)
    for inputs in runs:
        for name, value in runner.run(inputs).items():
            tensor = name.removeprefix(_PREFIX)
            # Where a tensor holds NaN, nothing bounds it.
            found[tensor] = max(found[tensor], math.inf if np.isnan(value) else float(value))
    return found


def channel_ranges(
    model: onnx.ModelProto, tensors: Sequence[str], runs: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Smallest and largest number of each channel (axis 1) of some tensors, [C] each.

    NaN where a channel held NaN.

    Args:
        tensors: names of results of nodes, of at least two axes.
        runs: inputs by name, at least one run.

    Raises:
        ModelError: ONNX Runtime cannot run the model.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    runner = OnnxRunner(probe)
    found: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for inputs in runs:
        for name, value in runner.run(inputs).items():
            others = tuple(axis for axis in range(value.ndim) if axis != 1)
            low, high = (f(value, others).astype(np.float64) for f in (np.min, np.max))
            before = found.get(name, (low, high))
            found[name] = np.minimum(before[0], low), np.maximum(before[1], high)
    return found
