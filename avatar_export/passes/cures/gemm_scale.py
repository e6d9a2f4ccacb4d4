"""Gemm without factors, with a bias for every column."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import constant, fixed_shape
from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.writer import Writer

_FACTORS = ("alpha", "beta")


class GemmScale(Cure):
    """alpha and beta go into the operands, and a bias gets its N numbers.

        Gemm<alpha, beta>(A, B, C)     becomes     Gemm(A, alpha * B, beta * C)
        Gemm(A, B, C of one number)    becomes     Gemm(A, B, C[N])

    A constant operand is multiplied here, a computed one by a Mul. The converter crashes on
    factors other than 1, and takes a bias of shape [N], [1,N] or [M,N] only
    (snpe-onnx-to-dlc 2.25.0.240728 experiment).
    """

    name = "gemm-scale"
    operators = frozenset({"Gemm"})

    def concerns(self, node: ir.Node) -> bool:
        scaled = any(_factor(node, name) != 1 for name in _FACTORS)
        return scaled or _narrow_bias(node)

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        if _narrow_bias(node) and fixed_shape(node.outputs[0]) is None:
            raise LeftAloneError("the shape of its result is not fixed")
        done = []
        for name, slot in (("alpha", self._scaled_operand(node)), ("beta", 2)):
            factor = node.attributes.get_float(name, 1.0)
            if factor != 1 and _input(node, slot) is not None:
                self._scale(node, slot, factor, writer)
                done.append(f"{name} moved into an operand")
            node.attributes.pop(name, None)
        if _narrow_bias(node):
            node.replace_input_with(2, self._widened(node, writer))
            done.append("bias spread over the columns")
        self.stamp(node)
        return ", ".join(done) or "factor of nothing removed"

    def _scaled_operand(self, node: ir.Node) -> int:
        """The matrix that takes alpha: the second, unless only the first is constant."""
        computed = constant(node.inputs[1]) is None
        return 0 if computed and constant(node.inputs[0]) is not None else 1

    def _scale(self, node: ir.Node, slot: int, factor: float, writer: Writer) -> None:
        value = node.inputs[slot]
        assert value is not None
        numbers = constant(value)
        if numbers is None:
            scaled = writer.put("Mul", value, writer.scalar("factor", factor, value))
            scaled.shape, scaled.type = value.shape, value.type
        else:
            product = (numbers.astype(np.float64) * factor).astype(numbers.dtype)
            scaled = writer.constant("scaled", product)
        node.replace_input_with(slot, scaled)

    def _widened(self, node: ir.Node, writer: Writer) -> ir.Value:
        """The bias with the shape of one row of the result, or of all of it where rows differ."""
        bias, result = node.inputs[2], fixed_shape(node.outputs[0])
        given = fixed_shape(bias)
        assert bias is not None and result is not None and given is not None
        same_rows = len(given) < 2 or given[0] == 1
        shape = result[1:] if same_rows else result
        numbers = constant(bias)
        if numbers is not None:
            flat = numbers.reshape(-1) if same_rows else numbers
            return writer.constant("bias", np.ascontiguousarray(np.broadcast_to(flat, shape)))
        row = writer.reshape(bias, (1,)) if not given else bias
        return writer.put("Expand", row, writer.constant("shape", np.asarray(shape, np.int64)))


def _factor(node: ir.Node, name: str) -> float:
    return node.attributes.get_float(name, 1.0)


def _input(node: ir.Node, slot: int) -> ir.Value | None:
    return node.inputs[slot] if slot < len(node.inputs) else None


def _narrow_bias(node: ir.Node) -> bool:
    """Whether the bias has fewer columns than the result."""
    given, result = fixed_shape(_input(node, 2)), fixed_shape(node.outputs[0])
    if given is None:
        return False
    columns = given[-1] if given else 1
    return columns == 1 and (not given or result is None or result[-1] != 1)
