"""Norms in a spelling that the converter leaves as it is."""

from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.base import constant, fixed_shape
from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.reading import made_by, rank, scalar_of
from avatar_export.passes.cures.writer import Writer


class PlainNorm(Cure):
    """Divide by a root as multiplication with a power.

        x / Sqrt(ReduceMean(x * x) + eps)                     becomes   x * Pow(... + eps, -0.5)
        x * Reciprocal(Sqrt(ReduceMean(x * x) + eps))         becomes   the same
        Reshape -> InstanceNormalization -> Reshape           becomes
        Reshape -> d = x - mean, d * Pow(ReduceMean(d * d) + eps, -0.5), scale, bias -> Reshape

    The converter fuses the left side into RmsNorm, LayerNorm or GroupNorm, which a runtime may
    lack; the right side stays plain. So does, and is left, x * Reciprocal(Sqrt(mean(Pow(x, 2)) +
    eps)) of an x that is no difference (snpe-onnx-to-dlc 2.25.0.240728 experiment).
    """

    name = "plain-norm"
    operators = frozenset({"Div", "Mul", "InstanceNormalization"})

    def concerns(self, node: ir.Node) -> bool:
        if node.op_type == "InstanceNormalization":
            return _is_group_norm(node)
        return _scaled(node) is not None

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        if node.op_type == "InstanceNormalization":
            return self._group_norm(node, writer)
        x, variance = _scaled(node) or (None, None)
        assert x is not None and variance is not None
        writer.replace(_times_power(writer, x, variance))
        return "multiplied with a power"

    def _group_norm(self, node: ir.Node, writer: Writer) -> str:
        x, scale, bias = node.inputs
        axes = rank(x)
        if x is None or scale is None or bias is None or axes is None:
            raise LeftAloneError("its rank is unknown")
        over = range(2, axes)
        centred = writer.put("Sub", x, writer.reduce("ReduceMean", x, over))
        square = writer.put("Mul", centred, centred)
        epsilon = writer.scalar("epsilon", node.attributes.get_float("epsilon", 1e-5), x)
        variance = writer.put("Add", writer.reduce("ReduceMean", square, over), epsilon)
        value = _times_power(writer, centred, variance)
        for op_type, operand, idle in (("Mul", scale, 1), ("Add", bias, 0)):
            numbers = constant(operand)
            if numbers is None or (numbers != idle).any():
                column = writer.reshape(operand, (-1, *(1 for _ in over)))
                value = writer.put(op_type, value, column)
        writer.replace(value)
        return "spelled out"


def _times_power(writer: Writer, x: ir.Value, variance: ir.Value) -> ir.Value:
    power = writer.put("Pow", variance, writer.scalar("exponent", -0.5, x))
    return writer.put("Mul", x, power)


def _scaled(node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    """Of x / Sqrt(mean(x * x) + eps), or the same by Reciprocal: x, and what the root is of."""
    for x, factor in (node.inputs, reversed(node.inputs)):
        inverse = made_by(factor, "Reciprocal") if node.op_type == "Mul" else node
        root = made_by(inverse.inputs[-1], "Sqrt") if inverse is not None else None
        variance = root.inputs[0] if root is not None else None
        square = _squared(variance)
        if x is None or variance is None or square is None or square.inputs[0] is not x:
            continue
        plain = (node.op_type, square.op_type) == ("Mul", "Pow") and not made_by(x, "Sub")
        return None if plain else (x, variance)
    return None


def _squared(variance: ir.Value | None) -> ir.Node | None:
    """The node that squares, in ReduceMean(x * x) + eps or ReduceMean(Pow(x, 2)) + eps."""
    total = made_by(variance, "Add")
    if total is None:
        return None
    for mean, epsilon in (total.inputs, reversed(total.inputs)):
        reduction = made_by(mean, "ReduceMean")
        square = made_by(reduction.inputs[0], "Mul", "Pow") if reduction is not None else None
        if scalar_of(epsilon) is None or square is None:
            continue
        same = square.inputs[0] is square.inputs[1]
        if same if square.op_type == "Mul" else scalar_of(square.inputs[1]) == 2:
            return square
    return None


def _is_group_norm(node: ir.Node) -> bool:
    """Whether an instance norm runs over groups of channels, between two Reshapes."""
    before, readers = made_by(node.inputs[0], "Reshape"), node.outputs[0].consumers()
    if before is None or [reader.op_type for reader in readers] != ["Reshape"]:
        return False
    whole, after = fixed_shape(before.inputs[0]), fixed_shape(readers[0].outputs[0])
    return whole is not None and whole == after
