"""Operators in the spelling of an older operator set.

SNPE's converters list operator *versions*: a model of a newer set converts with warnings at best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnx_ir as ir

from avatar_export.errors import ModelError
from avatar_export.passes.base import Pass, add_initializer, constant, drop_unused, opset

# What became an input at a later version goes back to the attribute it was:
# operator -> (first version with the input, {input slot: attribute}).
_INPUT_TO_ATTRIBUTE: dict[str, tuple[int, dict[int, str]]] = {
    "Squeeze": (13, {1: "axes"}),
    "Unsqueeze": (13, {1: "axes"}),
    "ReduceSum": (13, {1: "axes"}),
    "ReduceMean": (18, {1: "axes"}),
    "ReduceMax": (18, {1: "axes"}),
    "ReduceMin": (18, {1: "axes"}),
    "Split": (13, {1: "split"}),
    "Pad": (11, {1: "pads", 2: "value"}),
    "Clip": (11, {1: "min", 2: "max"}),
    "Slice": (10, {1: "starts", 2: "ends", 3: "axes"}),
}
_SCALAR_ATTRIBUTES = {"value", "min", "max"}

# Attributes that an older version does not have, with the only value that may be dropped.
_NEWER_ATTRIBUTES: dict[str, dict[str, object]] = {
    "BatchNormalization": {"training_mode": 0},
    "Reshape": {"allowzero": 0},
    "Cast": {"saturate": 1},
    "ScatterElements": {"reduction": "none"},
    "AveragePool": {"ceil_mode": 0, "dilations": [1, 1]},
    "MaxPool": {"ceil_mode": 0, "dilations": [1, 1], "storage_order": 0},
}


class LowerOpset(Pass):
    """Rewrite a model to operator set ``target``; never raises the version.

    Most operators kept their meaning and are only renumbered. Where an attribute became an input,
    the constant input becomes the attribute again. Resize of nearest neighbours by whole factors
    becomes Upsample (set 9 and older). What has no older spelling is refused by name.
    """

    name = "lower-opset"

    def __init__(self, target: int) -> None:
        self.target = target

    def requires(self, model: ir.Model) -> None:
        present = opset(model)
        for node in model.graph if self.target < present else ():
            if node.domain not in ("", "ai.onnx"):
                raise self._refusal(node, f"its domain {node.domain} has own versions")
            if node.op_type == "Resize":
                self._check_resize(node)
            elif not _exists(node.op_type, self.target):
                raise self._refusal(node, f"the operator is newer than set {self.target}")

    def apply(self, model: ir.Model) -> list[str]:
        present = opset(model)
        if self.target >= present:
            return []
        rewritten = []
        for node in list(model.graph):
            if self._lower(model, node):
                self.stamp(node)
                rewritten.append(f"{node.name}: {node.op_type} respelled")
        model.opset_imports[""] = self.target
        model.ir_version = min(model.ir_version, _ir_version(self.target))
        drop_unused(model)
        return [f"operator set {present} became {self.target}", *rewritten]

    def ensures(self, model: ir.Model) -> None:
        try:
            onnx.checker.check_model(ir.to_proto(model))
        except onnx.checker.ValidationError as error:
            raise ModelError(f"{self.name}: {str(error).splitlines()[0]}") from error

    def _lower(self, model: ir.Model, node: ir.Node) -> bool:
        """Respell one node; whether anything about it changed."""
        special: Mapping[str, Callable[[ir.Model, ir.Node], bool]] = {
            "Resize": self._resize,
            "Slice": self._slice_steps,
            "Softmax": self._softmax,
        }
        changed = node.op_type in special and special[node.op_type](model, node)
        changed |= self._drop_attributes(node)
        first, slots = _INPUT_TO_ATTRIBUTE.get(node.op_type, (0, {}))
        if slots and self.target < first:
            changed |= self._inputs_to_attributes(node, slots)
        return changed

    def _inputs_to_attributes(self, node: ir.Node, slots: Mapping[int, str]) -> bool:
        for slot, name in slots.items():
            value = node.inputs[slot] if slot < len(node.inputs) else None
            if value is None:
                continue
            numbers = constant(value)
            if numbers is None:
                raise self._refusal(node, f"its input {name} is computed, not constant")
            if name in _SCALAR_ATTRIBUTES:
                node.attributes.add(ir.AttrFloat32(name, float(numbers.reshape(-1)[0])))
            else:
                integers = [_int32(int(n)) if name == "ends" else int(n) for n in numbers.ravel()]
                node.attributes.add(ir.AttrInt64s(name, integers))
        changed = len(node.inputs) > 1
        node.resize_inputs(1)
        return changed

    def _drop_attributes(self, node: ir.Node) -> bool:
        allowed = onnx.defs.get_schema(node.op_type, self.target, "").attributes
        dropped = False
        for name, harmless in _NEWER_ATTRIBUTES.get(node.op_type, {}).items():
            if name in allowed or name not in node.attributes:
                continue
            value = node.attributes[name].value
            if (list(value) if isinstance(value, tuple) else value) != harmless:
                raise self._refusal(node, f"set {self.target} has no attribute {name}")
            node.attributes.pop(name)
            dropped = True
        return dropped

    def _slice_steps(self, model: ir.Model, node: ir.Node) -> bool:
        if self.target >= 10 or len(node.inputs) < 5 or node.inputs[4] is None:
            return False
        steps = constant(node.inputs[4])
        if steps is None or (steps != 1).any():
            raise self._refusal(node, "set 9 has no steps other than 1")
        return True

    def _softmax(self, model: ir.Model, node: ir.Node) -> bool:
        """Before set 13 the axis splits the shape in two; on the last axis that is the same."""
        if self.target >= 13 or opset(model) < 13:
            return False
        shape, axis = node.inputs[0].shape if node.inputs[0] else None, -1
        axis = node.attributes.get_int("axis", -1)
        if shape is None or axis not in (-1, len(shape) - 1):
            raise self._refusal(node, "its axis is not the last one")
        node.attributes.add(ir.AttrInt64("axis", len(shape) - 1))
        return True

    def _check_resize(self, node: ir.Node) -> None:
        if self.target >= 11:
            return
        scales = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if scales is None or scales.size == 0 or (scales != np.floor(scales)).any():
            raise self._refusal(node, "only constant whole scales have an older spelling")
        mode = node.attributes.get_string("mode", "nearest")
        where = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
        rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
        if mode != "nearest" or (where, rounding) not in _REPEATING:
            raise self._refusal(node, f"{mode} / {where} / {rounding} has no older spelling")

    def _resize(self, model: ir.Model, node: ir.Node) -> bool:
        if self.target >= 13:
            return False
        if self.target >= 11:
            return self._name_roi(model, node)
        scales = constant(node.inputs[2])
        assert scales is not None
        value = add_initializer(model, f"{node.name}.scales", scales.astype(np.float32))
        node.attributes.clear()
        node.attributes.add(ir.AttrString("mode", "nearest"))
        node.resize_inputs(2)
        node.replace_input_with(1, value)
        if self.target < 10:
            node.op_type = "Upsample"
        return True

    def _name_roi(self, model: ir.Model, node: ir.Node) -> bool:
        """Sets 11 and 12 demand the input roi even where nothing reads it."""
        if node.inputs[1] is not None:
            return False
        empty = np.zeros(0, np.float32)
        node.replace_input_with(1, add_initializer(model, f"{node.name}.roi", empty))
        return True

    def _refusal(self, node: ir.Node, reason: str) -> ModelError:
        return ModelError(
            f"{self.name}: {node.op_type} {node.name} cannot go to operator set {self.target}: "
            f"{reason}"
        )


# Ways to say "repeat each number" for a whole factor: Upsample does just that.
_REPEATING = {
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
}


def _exists(op_type: str, version: int) -> bool:
    try:
        schema = onnx.defs.get_schema(op_type, version, "")
    except onnx.defs.SchemaError:
        return False
    return not schema.deprecated


def _ir_version(version: int) -> int:
    """IR version of the onnx release that brought an operator set; at least 4.

    From IR 4 on initializers need not be graph inputs too.
    """
    return max(4, onnx.helper.OP_SET_ID_VERSION_MAP.get(("ai.onnx", version), 4))


def _int32(number: int) -> int:
    """Open ends are stored as the largest int64; older readers take the largest int32."""
    return max(min(number, 2**31 - 1), -(2**31))
