"""The ONNX side of a DLC: nodes, inputs and outputs that must all be found in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from avatar_export.dlc.netd import DlcGraph, DlcTensor
from avatar_export.dlc.record import IoTensor
from avatar_export.errors import ModelError
from avatar_export.onnx_file import read_model

if TYPE_CHECKING:
    import onnx

AS_ONNX = "as ONNX"
_NO_ORDER = ("", "ANY", "NONTRIVIAL")
"""Axis formats that say nothing of the order of the axes."""


@dataclass(frozen=True)
class OnnxTensor:
    """A graph input or output; a dimension that is not fixed is 0."""

    name: str
    shape: tuple[int, ...]


def load_onnx(path: Path, *, weights: bool) -> onnx.ModelProto:
    """Load a model; without ``weights`` those in external files are left there.

    Raises:
        UserError: the file does not exist or cannot be read.
        ModelError: it is no sound ONNX model, or its weights are not where it says.
    """
    import onnx

    model = read_model(path)
    if weights:
        try:
            onnx.load_external_data_for_model(model, str(path.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise ModelError(f"cannot read the weights of {path}: {error}") from error
    return model


def name_nodes(model: onnx.ModelProto) -> None:
    """Give every node a name of its own, in place, so that a refusal can name it."""
    taken: set[str] = {node.name for node in model.graph.node}
    seen: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{index}"
            while node.name in taken:
                node.name += "_"
            taken.add(node.name)
        seen.add(node.name)


def nodes_of_type(model: onnx.ModelProto, op_type: str) -> list[str]:
    """Names of the nodes of a type, its case ignored; outputs stand in for missing names."""
    return [
        node.name or node.output[0]
        for node in model.graph.node
        if node.op_type.lower() == op_type.lower()
    ]


def match_io(model: onnx.ModelProto, graph: DlcGraph) -> tuple[tuple[IoTensor, ...], list[str]]:
    """(inputs then outputs in ONNX order, warnings): the DLC's own, each with its ONNX name.

    An input that feeds no node may be missing from the DLC; that is a warning.

    Raises:
        ModelError: another input, or any output, is missing from the DLC or is new in it.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [_onnx_tensor(info) for info in model.graph.input if info.name not in constants]
    used = {name for node in model.graph.node for name in node.input}
    used.update(info.name for info in model.graph.output)
    found = _pair("input", inputs, graph.inputs)
    unused = [tensor.name for tensor in inputs if tensor.name not in used]
    missing = [t.name for t in inputs if t not in found and t.name not in unused]
    outputs = [_onnx_tensor(info) for info in model.graph.output]
    found_outputs = _pair("output", outputs, graph.outputs)
    missing += [tensor.name for tensor in outputs if tensor not in found_outputs]
    if missing:
        raise ModelError(f"the DLC lacks {_quoted(missing)} of the model's inputs and outputs")
    warnings = [
        f"input {tensor.name!r} feeds no node and is not in the DLC"
        for tensor in inputs
        if tensor not in found
    ]
    return (*found.values(), *found_outputs.values()), warnings


def _pair(
    direction: Literal["input", "output"],
    wanted: Sequence[OnnxTensor],
    stored: Sequence[DlcTensor],
) -> dict[OnnxTensor, IoTensor]:
    """The stored tensors by their ONNX twin: of the same name, or the same but for punctuation."""
    left = list(stored)
    found: dict[OnnxTensor, IoTensor] = {}
    spellings: tuple[Callable[[str], str], ...] = (str, _without_punctuation)
    for spelling in spellings:
        for tensor in (t for t in wanted if t not in found):
            twin = next((s for s in left if spelling(s.name) == spelling(tensor.name)), None)
            if twin:
                left.remove(twin)
                found[tensor] = _io_tensor(direction, tensor, twin)
    if left:
        names = _quoted([tensor.name for tensor in left])
        raise ModelError(f"the DLC has the {direction} {names}, which the model has not")
    return {tensor: found[tensor] for tensor in wanted if tensor in found}


def _without_punctuation(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _io_tensor(
    direction: Literal["input", "output"], tensor: OnnxTensor, twin: DlcTensor
) -> IoTensor:
    layout = twin.axis_format
    if layout in _NO_ORDER and tensor.shape == twin.shape:
        layout = AS_ONNX
    return IoTensor(
        direction, twin.name, tensor.name, twin.shape, layout or "not stored", twin.dtype
    )


def _onnx_tensor(info: onnx.ValueInfoProto) -> OnnxTensor:
    dims = info.type.tensor_type.shape.dim
    return OnnxTensor(info.name, tuple(dim.dim_value for dim in dims))


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
