"""Resize of operator set 10 says in its attributes what set 10 means."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.errors import ModelError
from avatar_export.passes.base import Pass
from avatar_export.passes.cures.reading import title
from avatar_export.passes.cures.resizing import picks, resized_axes, survives
from avatar_export.passes.cures.writer import Writer
from avatar_export.resize import Axis

_OLD, _NEW = 10, 11

# IR version of the onnx release that brought operator set 11.
_IR_VERSION = 6

# What set 10 had as attributes and set 11 has as inputs: operator -> {attribute: default}.
_BECAME_INPUTS: dict[str, dict[str, float | list[int]]] = {
    "Clip": {"min": float(np.finfo(np.float32).min), "max": float(np.finfo(np.float32).max)},
    "Pad": {"pads": [], "value": 0.0},
}
_SUBGRAPHS = {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS}


class ResizeSet(Pass):
    """Raise a model of operator set 10 to 11, where a Resize names its rule.

        Resize(x, scales)     becomes     Resize<asymmetric, floor>(x, roi, scales)

    Set 10 knows no other coordinates than asymmetric ones; the converter writes half-pixel
    centres all the same (snpe-onnx-to-dlc 2.25.0.240728 experiment). Between the two sets Clip and
    Pad turned attributes into inputs, Scatter was renamed, and the rest kept its meaning (ONNX
    operator changelog, version 11). Where both readings of every Resize pick the same pixels the
    model stays; so does one with a subgraph, or with a nearest Resize that set 11 cannot spell.
    """

    name = "resize-set"

    def apply(self, model: ir.Model) -> list[str]:
        self.notes = ()
        if model.opset_imports.get("") != _OLD:
            return []
        concerned = [node for node in model.graph if _concerns(node)]
        reason = next(filter(None, (_obstacle(node) for node in model.graph)), "")
        if concerned and reason:
            self.notes = [f"{title(node)} stays: {reason}" for node in concerned]
            return []
        return self._raise(model, concerned) if concerned else []

    def ensures(self, model: ir.Model) -> None:
        left = [title(node) for node in model.graph if _concerns(node)]
        if model.opset_imports.get("") == _OLD and left and not self.notes:
            raise ModelError(f"{self.name}: {left[0]} was left as it was")

    def _raise(self, model: ir.Model, concerned: list[ir.Node]) -> list[str]:
        model.opset_imports[""] = _NEW
        model.ir_version = max(model.ir_version, _IR_VERSION)
        writers = Writer.family(self, model)
        for node in list(model.graph):
            if node.op_type == "Resize":
                self._name_rule(node, writers(node))
            elif node.op_type in _BECAME_INPUTS:
                self._attributes_to_inputs(node, writers(node))
            elif node.op_type == "Scatter":
                node.op_type = "ScatterElements"
                self.stamp(node)
        changed = [f"{title(node)}: asymmetric, as set {_OLD} has it" for node in concerned]
        return [f"operator set {_OLD} became {_NEW}", *changed]

    def _name_rule(self, node: ir.Node, writer: Writer) -> None:
        scales = node.inputs[1]
        node.resize_inputs(3)
        node.replace_input_with(1, writer.constant("roi", np.zeros(0, np.float32)))
        node.replace_input_with(2, scales)
        node.attributes.add(ir.AttrString("coordinate_transformation_mode", "asymmetric"))
        if _is_nearest(node):
            node.attributes.add(ir.AttrString("nearest_mode", "floor"))
        self.stamp(node)

    def _attributes_to_inputs(self, node: ir.Node, writer: Writer) -> None:
        x = node.inputs[0]
        assert x is not None
        for slot, (name, default) in enumerate(_BECAME_INPUTS[node.op_type].items(), start=1):
            attribute = node.attributes.pop(name, None)
            node.resize_inputs(slot + 1)
            if isinstance(default, list):
                numbers = [] if attribute is None else list(attribute.as_ints())
                value = writer.constant(name, np.asarray(numbers, np.int64))
            else:
                number = default if attribute is None else attribute.as_float()
                value = writer.scalar(name, number, x)
            node.replace_input_with(slot, value)
        self.stamp(node)


def _is_nearest(node: ir.Node) -> bool:
    return node.attributes.get_string("mode", "nearest") == "nearest"


def _concerns(node: ir.Node) -> bool:
    """Whether half-pixel centres would give another result than asymmetric coordinates."""
    if node.op_type != "Resize" or len(node.inputs) != 2:
        return False
    axes = resized_axes(node)
    if axes is None:
        return True
    if not _is_nearest(node):
        return any(axis.scale != 1 for axis in axes)
    return not survives(axes, ("asymmetric", "floor"), "half_pixel")


def _obstacle(node: ir.Node) -> str:
    """Why ``node`` keeps a model at set 10; empty when it does not."""
    if any(attribute.type in _SUBGRAPHS for attribute in node.attributes.values()):
        return f"{node.op_type} {title(node)} holds a subgraph, which would have to be raised too"
    if node.op_type == "Resize" and _is_nearest(node):
        axes = resized_axes(node)
        if axes is None or not all(map(_rounds_either_way, axes)):
            return f"set {_OLD} does not say how {title(node)} rounds where it shrinks"
    return ""


def _rounds_either_way(axis: Axis) -> bool:
    """Set 10 names no rounding; runtimes take floor, and some of them ceil where they shrink."""
    floor = picks(axis, "asymmetric", "floor")
    return axis.scale >= 1 or (floor is not None and floor == picks(axis, "asymmetric", "ceil"))
