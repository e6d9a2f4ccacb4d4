"""Whether a node obeys the ONNX specification: what no converter or runtime can make sense of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from onnx.shape_inference import InferenceError

from avatar_export.whitelist.model.hazards import hazard
from avatar_export.whitelist.model.types import Dims

if TYPE_CHECKING:
    from avatar_export.whitelist.model.node import NodeView

_VARIADIC = 1000  # onnx writes the largest integer


def invalid_because(node: NodeView) -> str:
    """Why the node breaks the specification; empty when it does not, or nobody can say.

    ONNX shape inference is asked where it found fault with the model as a whole. It compares
    ranks but not channels, so these are compared here.
    """
    if node.schema is None:
        return ""
    malformed = "" if node.model.sound else hazard(node.proto, node.model.opset)
    return malformed or _form(node) or _names(node) or _agreement(node) or _inference(node)


def _form(node: NodeView) -> str:
    """Number of inputs and outputs, and required attributes."""
    schema = node.schema
    assert schema is not None  # for mypy; the caller has looked
    count, written = len(node.inputs), len(node.proto.output)
    if not schema.min_input <= count <= schema.max_input:
        return f"{count} inputs, {node.operator} takes {_span(schema.min_input, schema.max_input)}"
    if not schema.min_output <= written <= schema.max_output:
        span = _span(schema.min_output, schema.max_output)
        return f"{written} outputs, {node.operator} gives {span}"
    missing = [name for name in node.definition.required if name not in node.given]
    return f"attribute {missing[0]} is required" if missing else ""


def _span(least: int, most: int) -> str:
    if most > _VARIADIC:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def _names(node: NodeView) -> str:
    undefined = [name for name in node.inputs if name and not node.model.defines(name)]
    return f"nothing writes the input {undefined[0]}" if undefined else ""


def _inference(node: NodeView) -> str:
    if node.model.sound:
        return ""
    try:
        node.model.infer(node)
    except InferenceError as error:
        return str(error).rpartition("] ")[2].strip()
    return ""


def _agreement(node: NodeView) -> str:
    rule = _CHANNELS.get(node.operator)
    if rule is None or not (node.has(0) and node.has(1)):
        return ""
    x, w = node.model.dims(node.inputs[0]), node.model.dims(node.inputs[1])
    return rule(node, x, w) if x and w and len(x) > 1 else ""


def _conv(node: NodeView, x: Dims, w: Dims) -> str:
    """The input is [N, C, ...], the weight [O, C/group, ...]."""
    groups = node.attribute("group") or 1
    if not isinstance(groups, int) or len(w) < 2:
        return ""
    depth = w[1]
    if x[1] is None or depth is None or x[1] == depth * groups:
        return ""
    return f"the input has {x[1]} channels, the weight takes {depth} * {groups} groups"


def _transposed_conv(node: NodeView, x: Dims, w: Dims) -> str:
    """The input is [N, C, ...], the weight [C, O/group, ...]."""
    return _same("channels", x[1], w[0])


def _gemm(node: NodeView, x: Dims, w: Dims) -> str:
    if len(x) != 2 or len(w) != 2:
        return ""
    inner = x[0] if node.attribute("transA") else x[1]
    return _same("columns", inner, w[1] if node.attribute("transB") else w[0])


def _norm(node: NodeView, x: Dims, w: Dims) -> str:
    """The input is [N, C, ...], the scale [C]."""
    return _same("channels", x[1], w[0])


def _same(what: str, found: int | None, taken: int | None) -> str:
    if found is None or taken is None or found == taken:
        return ""
    return f"the input has {found} {what}, the second operand takes {taken}"


_CHANNELS: dict[str, Callable[[NodeView, Dims, Dims], str]] = {
    "Conv": _conv,
    "ConvTranspose": _transposed_conv,
    "Gemm": _gemm,
    "BatchNormalization": _norm,
    "InstanceNormalization": _norm,
}
