"""Equal activations on all parts of a split are done once, before it."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from avatar_export.passes.base import fixed_shape, only_consumer
from avatar_export.passes.site import Proposal, RefusedError, SitePass, Sketch

# Operators of one input that work number by number. Clip has more inputs from set 11 on.
ACTIVATIONS = {
    "Clip",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Mish",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
}


class HoistActivation(SitePass):
    """Move an activation that all parts of a split have before the split.

        x -> Split -> p, q;  f(p), f(q)
        becomes
        x -> f -> Split

    f works number by number, so it does not matter whether the tensor is cut before or after.
    One kernel instead of one a part; if a convolution makes x, the runtime may merge f into it.
    """

    name = "hoist-activation"

    def options(self, node: ir.Node) -> list[Proposal]:
        split = _split_before(node)
        if split is None:
            return []
        activations = [activation_after(part) for part in split.outputs if _is_read(part)]
        found = [a for a in activations if a is not None]
        if len(found) < 2 or node is not max(found, key=list(split.graph or []).index):
            return []
        if len(found) < len(activations) or any(kind(a) != kind(node) for a in found):
            raise RefusedError("not all parts of the split have the same activation")
        return [_hoisted(split, node)]


def is_activation(node: ir.Node | None) -> bool:
    """Whether a node is an activation of one input in the default domain."""
    return (
        node is not None
        and node.domain == ""
        and node.op_type in ACTIVATIONS
        and len(node.inputs) == 1
    )


def activation_after(value: ir.Value) -> ir.Node | None:
    """The activation that is the only reader of a value, in the same graph."""
    reader = only_consumer(value)
    producer = value.producer()
    if reader is None or producer is None or reader.graph is not producer.graph:
        return None
    return reader if is_activation(reader) else None


def kind(activation: ir.Node) -> tuple[str, tuple[tuple[str, object], ...]]:
    """Equal for activations that compute the same function."""
    attributes = sorted((name, a.value) for name, a in activation.attributes.items())
    return activation.op_type, tuple(attributes)


def settings(node: ir.Node) -> dict[str, Any]:
    """The attributes of a node, to make another one with."""
    return {name: attribute.value for name, attribute in node.attributes.items()}


def _split_before(node: ir.Node) -> ir.Node | None:
    if not is_activation(node) or node.inputs[0] is None:
        return None
    split = node.inputs[0].producer()
    if split is None or split.op_type != "Split" or split.domain != "":
        return None
    values = [*split.inputs[:1], *split.outputs]
    return split if all(fixed_shape(value) for value in values) else None


def _is_read(part: ir.Value) -> bool:
    return bool(part.uses()) or part.is_graph_output()


def _hoisted(split: ir.Node, last: ir.Node) -> Proposal:
    sketch = Sketch(last)
    shapes = [fixed_shape(part) for part in split.outputs]
    whole = fixed_shape(split.inputs[0])
    assert whole is not None
    active = sketch.put(last.op_type, split.inputs[:1], whole, **settings(last))
    parts = sketch.split(
        "Split",
        [active, *split.inputs[1:]],
        [shape for shape in shapes if shape is not None],
        ".split",
        **settings(split),
    )
    pairs = [
        (activation.outputs[0], new)
        for old, new in zip(split.outputs, parts, strict=True)
        if (activation := activation_after(old)) is not None
    ]
    old_nodes = [activation.producer() for activation, _ in pairs]
    return Proposal(
        old=(split, *(node for node in old_nodes if node is not None)),
        new=tuple(sketch.nodes),
        stands_for=tuple(pairs),
        what=f"one {last.op_type} before the split instead of {len(pairs)} after it",
    )
