"""PyTorch graph -> ONNX."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import torch

from avatar_export.errors import ModelError
from avatar_export.graphs.spec import EXPORT_OPSET, Graph


def export_onnx(graph: Graph, seed: int = 0) -> onnx.ModelProto:
    """Trace a graph with random inputs into ONNX of opset :data:`EXPORT_OPSET`.

    The TorchScript exporter is used on purpose: it writes the older IR and lower opsets that SDK
    converters read, and names nodes after the modules they came from.

    Raises:
        ModelError: the exporter refuses an operator, naming it.
    """
    # The exporter restores the top module's mode on *every* submodule: a parent left in training
    # mode would switch the batch norms of the caller's networks to batch statistics.
    graph.module.eval()
    inputs = tuple(torch.from_numpy(x) for x in graph.random_inputs(seed).values())
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad(), _stdout_to_stderr():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                graph.module,
                inputs,
                buffer,  # type: ignore[arg-type]  # a stream is taken with dynamo=False
                opset_version=EXPORT_OPSET,
                input_names=[spec.name for spec in graph.inputs],
                output_names=[spec.name for spec in graph.outputs],
                dynamo=False,
            )
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ModelError(f"graph {graph.name} cannot be exported: {reason}") from error
    model = onnx.load_from_string(buffer.getvalue())
    _require_interface(model, graph)
    model.graph.name = graph.name
    return model


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Send what native code prints to stderr.

    When torch refuses an operator it prints the whole graph on stdout from C++, which is ours for
    results.
    """
    try:
        sys.stdout.flush()
        saved = os.dup(1)
    except (AttributeError, OSError):  # there is no stdout to keep clean
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def run_torch(graph: Graph, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of the PyTorch module by name; inputs by name, shapes as declared."""
    tensors = [torch.from_numpy(inputs[spec.name]) for spec in graph.inputs]
    with torch.no_grad():
        result = graph.module(*tensors)
    outputs = (result,) if isinstance(result, torch.Tensor) else result
    return graph.by_name([x.numpy() for x in outputs])


def _require_interface(model: onnx.ModelProto, graph: Graph) -> None:
    """The exporter drops inputs it deems unused; an application must find every declared one."""
    constants = {x.name for x in model.graph.initializer}
    for kind, values, specs in (
        ("inputs", model.graph.input, graph.inputs),
        ("outputs", model.graph.output, graph.outputs),
    ):
        found = {value.name for value in values} - constants
        odd = sorted(found ^ {spec.name for spec in specs})
        if odd:
            raise ModelError(f"graph {graph.name}: exported {kind} differ in {', '.join(odd)}")
