"""Operators in the spelling of an older operator set.

SNPE's converters list operator *versions*: a model of a newer set converts with warnings at best.
"""

from __future__ import annotations

from collections.abc import Mapping

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
_STEPS = 4  # input slot of a Slice; set 9 and older have no such input or attribute
_RESIZE_INPUTS = {1: "roi", 2: "scales"}

# Attributes that an older version does not have, with the only value that may be dropped.
_NEWER_ATTRIBUTES: dict[str, dict[str, object]] = {
    "BatchNormalization": {"training_mode": 0},
    "Reshape": {"allowzero": 0},
    "ReduceSum": {"noop_with_empty_axes": 0},
    "ReduceMean": {"noop_with_empty_axes": 0},
    "ReduceMax": {"noop_with_empty_axes": 0},
    "ReduceMin": {"noop_with_empty_axes": 0},
    "Cast": {"saturate": 1},
    "DepthToSpace": {"mode": "DCR"},
    "ScatterElements": {"reduction": "none"},
    "AveragePool": {"ceil_mode": 0, "dilations": [1, 1]},
    "MaxPool": {"ceil_mode": 0, "dilations": [1, 1], "storage_order": 0},
}

# Before set 13 their axis splits the shape in two, from then on it is the one they run over.
_SPLITTING = {"Softmax", "LogSoftmax", "Hardmax"}

# From this set on an axis may be counted from the back. OneHot's always could.
_NEGATIVE_AXES = 11

_SUBGRAPHS = {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS}


class LowerOpset(Pass):
    """Rewrite a model to operator set ``wanted``, or as near to it as its operators allow.

        set 16:  x -> Squeeze(., axes) -> Resize(., , scales)
        becomes
        set 9:   x -> Squeeze<axes> -> Upsample(., scales)

    Most operators kept their meaning and are only renumbered. Where an attribute became an input,
    the constant input becomes the attribute again. Resize of nearest neighbours by whole factors
    becomes Upsample (set 9 and older). An operator without an older spelling (GridSample is of set
    16) holds the model at its set; the change says so. The version is never raised.
    """

    name = "lower-opset"

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.present = self.target = wanted

    def apply(self, model: ir.Model) -> list[str]:
        self.present = present = opset(model)
        held = self._choose_target(model, present)
        if self.target >= present:
            return [] if held is None else [f"operator set {present} kept: {held.message}"]
        rewritten = []
        for node in list(model.graph):
            op_type = node.op_type
            if self._lower(model, node):
                self.stamp(node)
                rewritten.append(f"{node.name}: {op_type} respelled")
        model.opset_imports[""] = self.target
        model.ir_version = min(model.ir_version, _ir_version(self.target))
        drop_unused(model)
        reason = "" if held is None else f" ({held.message})"
        return [f"operator set {present} became {self.target}{reason}", *rewritten]

    def ensures(self, model: ir.Model) -> None:
        try:
            onnx.checker.check_model(ir.to_proto(model))
        except onnx.checker.ValidationError as error:
            raise ModelError(f"{self.name}: {str(error).splitlines()[0]}") from error

    def _choose_target(self, model: ir.Model, present: int) -> ModelError | None:
        """Set ``target`` to the lowest feasible set from ``wanted`` on; what held it, if so."""
        held = None
        for version in range(self.wanted, present):
            self.target = version
            try:
                for node in model.graph:
                    self._check(node)
            except ModelError as refusal:
                held = refusal
            else:
                return held
        self.target = present
        return held

    def _check(self, node: ir.Node) -> None:
        """Raise a ModelError when ``node`` has no spelling in the target set."""
        if node.domain not in ("", "ai.onnx"):
            raise self._refusal(node, f"its domain {node.domain} has own versions")
        if any(a.type in _SUBGRAPHS for a in node.attributes.values()):
            raise self._refusal(node, "it holds a subgraph")
        if node.op_type == "Resize":
            self._check_resize(node)
        elif not _exists(node.op_type, self.target):
            raise self._refusal(node, f"the operator is newer than set {self.target}")
        for slot, name in self._slots(node).items():
            value = node.inputs[slot] if slot < len(node.inputs) else None
            if value is not None and constant(value) is None:
                raise self._refusal(node, f"its input {name} is computed, not constant")
        allowed = _schema(node.op_type, self.target).attributes if node.op_type != "Resize" else {}
        for name, harmless in _NEWER_ATTRIBUTES.get(node.op_type, {}).items():
            if name not in allowed and _value(node, name, harmless) != harmless:
                raise self._refusal(node, f"set {self.target} has no attribute {name}")
        if node.op_type == "Slice":
            self._check_slice(node)
        elif node.op_type in _SPLITTING:
            self._check_softmax(node)
        if node.op_type != "Resize" or self.target >= 11:
            self._check_schema(node)
        if self._has_negative_axes(node) and _rank(node) is None:
            raise self._refusal(node, "its axes count from the back of an unknown rank")

    def _check_schema(self, node: ir.Node) -> None:
        """Whether the target set knows all attributes and inputs that are left as they are."""
        schema = _schema(node.op_type, self.target)
        known = {*schema.attributes, *_NEWER_ATTRIBUTES.get(node.op_type, ())}
        for name in node.attributes:
            if name not in known:
                raise self._refusal(node, f"set {self.target} has no attribute {name}")
        slots = self._slots(node)
        gone = {*slots, _STEPS} if slots and node.op_type == "Slice" else {*slots}
        left = [k for k in range(len(node.inputs)) if k not in gone]
        fewest, most = schema.min_input, schema.max_input
        if len(left) < fewest or (left and left[-1] >= most):
            raise self._refusal(node, f"set {self.target} takes {fewest} to {most} inputs")
        for k in left:
            self._check_type(node, k, schema)

    def _check_type(self, node: ir.Node, slot: int, schema: onnx.defs.OpSchema) -> None:
        """Clip, for one, takes int64 from set 12 on only."""
        value = node.inputs[slot]
        if value is None or value.dtype is None:
            return
        formal = schema.inputs[min(slot, len(schema.inputs) - 1)]  # the last one may be variadic
        if f"tensor({value.dtype.name.lower()})" not in formal.types:
            raise self._refusal(node, f"set {self.target} takes no {value.dtype.name.lower()}")

    def _slots(self, node: ir.Node) -> Mapping[int, str]:
        """Inputs that are attributes in the target set."""
        first, slots = _INPUT_TO_ATTRIBUTE.get(node.op_type, (0, {}))
        return slots if self.target < first else {}

    def _lower(self, model: ir.Model, node: ir.Node) -> bool:
        """Respell one node; whether anything about it changed."""
        changed = node.op_type == "Resize" and self._resize(model, node)
        if node.op_type in _SPLITTING and self._axis_changes_meaning():
            rank = _rank(node)
            assert rank is not None
            node.attributes.add(ir.AttrInt64("axis", rank - 1))
            changed = True
        changed |= self._drop_attributes(node)
        slots = self._slots(node)
        if slots:
            changed |= self._inputs_to_attributes(node, slots)
        return self._count_axes_from_front(node) | changed

    def _inputs_to_attributes(self, node: ir.Node, slots: Mapping[int, str]) -> bool:
        for slot, name in slots.items():
            numbers = constant(node.inputs[slot]) if slot < len(node.inputs) else None
            if numbers is None:
                continue
            if name in _SCALAR_ATTRIBUTES:
                node.attributes.add(ir.AttrFloat32(name, float(numbers.reshape(-1)[0])))
            else:
                integers = [_int32(int(n)) if name == "ends" else int(n) for n in numbers.ravel()]
                node.attributes.add(ir.AttrInt64s(name, integers))
        changed = len(node.inputs) > 1
        node.resize_inputs(1)
        return changed

    def _drop_attributes(self, node: ir.Node) -> bool:
        if node.op_type not in _NEWER_ATTRIBUTES:
            return False
        allowed = _schema(node.op_type, self.target).attributes
        newer = [n for n in _NEWER_ATTRIBUTES[node.op_type] if n not in allowed]
        dropped = [name for name in newer if node.attributes.pop(name, None) is not None]
        return bool(dropped)

    def _axis_changes_meaning(self) -> bool:
        return self.target < 13 <= self.present

    def _has_negative_axes(self, node: ir.Node) -> bool:
        if self.target >= _NEGATIVE_AXES or node.op_type == "OneHot":
            return False
        slots = [slot for slot, name in self._slots(node).items() if name == "axes"]
        inputs = [constant(node.inputs[slot]) for slot in slots if slot < len(node.inputs)]
        axes = [*_axes(node).values(), *(array.tolist() for array in inputs if array is not None)]
        return any(axis < 0 for numbers in axes for axis in numbers)

    def _count_axes_from_front(self, node: ir.Node) -> bool:
        rank = _rank(node)
        if not self._has_negative_axes(node) or rank is None:
            return False
        for name, numbers in _axes(node).items():
            front = [axis % rank for axis in numbers]
            single = name == "axis"
            attribute = ir.AttrInt64(name, front[0]) if single else ir.AttrInt64s(name, front)
            node.attributes.add(attribute)
        return True

    def _check_slice(self, node: ir.Node) -> None:
        if self.target >= 10 or len(node.inputs) <= _STEPS or node.inputs[_STEPS] is None:
            return
        steps = constant(node.inputs[_STEPS])
        if steps is None or (steps != 1).any():
            raise self._refusal(node, "set 9 has no steps other than 1")

    def _check_softmax(self, node: ir.Node) -> None:
        """On the last axis both meanings of axis are the same."""
        if not self._axis_changes_meaning():
            return
        rank = _rank(node)
        if rank is None:
            raise self._refusal(node, "its rank is unknown")
        if node.attributes.get_int("axis", -1) not in (-1, rank - 1):
            raise self._refusal(node, "its axis is not the last one")

    def _check_resize(self, node: ir.Node) -> None:
        if self.target >= 11:
            return
        scales = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if scales is None or scales.size == 0 or (scales != np.floor(scales)).any():
            raise self._refusal(node, "only constant whole scales have an older spelling")
        if "axes" in node.attributes:
            raise self._refusal(node, "only scales of all axes have an older spelling")
        mode = node.attributes.get_string("mode", "nearest")
        where = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
        rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
        if mode != "nearest" or (where, rounding) not in _REPEATING:
            raise self._refusal(node, f"{mode} / {where} / {rounding} has no older spelling")

    def _resize(self, model: ir.Model, node: ir.Node) -> bool:
        if self.target >= 13:
            return False
        if self.target >= 11:
            return self._name_inputs(model, node)
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

    def _name_inputs(self, model: ir.Model, node: ir.Node) -> bool:
        """Sets 11 and 12 demand the inputs roi and scales even where nothing reads them."""
        unnamed = {slot: name for slot, name in _RESIZE_INPUTS.items() if node.inputs[slot] is None}
        for slot, name in unnamed.items():
            empty = np.zeros(0, np.float32)
            node.replace_input_with(slot, add_initializer(model, f"{node.name}.{name}", empty))
        return bool(unnamed)

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
        return not _schema(op_type, version).deprecated
    except onnx.defs.SchemaError:
        return False


def _schema(op_type: str, version: int) -> onnx.defs.OpSchema:
    return onnx.defs.get_schema(op_type, version, "")


def _axes(node: ir.Node) -> dict[str, list[int]]:
    """The attributes axis and axes, as lists."""
    found: dict[str, list[int]] = {}
    if "axis" in node.attributes:
        found["axis"] = [node.attributes["axis"].as_int()]
    if "axes" in node.attributes:
        found["axes"] = list(node.attributes["axes"].as_ints())
    return found


def _rank(node: ir.Node) -> int | None:
    """Number of axes that the node's own axis counts along; None where shapes are unknown."""
    values = node.outputs if node.op_type == "Unsqueeze" else node.inputs
    value = values[0] if values else None
    return None if value is None or value.shape is None else len(value.shape)


def _value(node: ir.Node, name: str, default: object) -> object:
    if name not in node.attributes:
        return default
    value = node.attributes[name].value
    return list(value) if isinstance(value, tuple) else value


def _ir_version(version: int) -> int:
    """IR version of the onnx release that brought an operator set; at least 4.

    From IR 4 on initializers need not be graph inputs too.
    """
    return max(4, onnx.helper.OP_SET_ID_VERSION_MAP.get(("ai.onnx", version), 4))


def _int32(number: int) -> int:
    """Open ends are stored as the largest int64; older readers take the largest int32."""
    return max(min(number, 2**31 - 1), -(2**31))
