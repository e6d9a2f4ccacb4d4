"""Einsum as the operators that it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import onnx_ir as ir

from avatar_export.passes.base import fixed_shape
from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.equation import Equation, EquationError
from avatar_export.passes.cures.writer import Writer

# The one equation that the converter has.
_KNOWN = "bij,bjk->bik"

_MOST_AXES = 5


class ExpandEinsum(Cure):
    """One or two operands: sum, transpose, multiply, transpose.

        Einsum(bhid,bhjd->bhij)(q, k)     becomes     MatMul(q, Transpose(k))
        Einsum(bchw,oc->bohw)(x, w)       becomes
        x -> Transpose -> Reshape[bhw,c] -> MatMul(w^T) -> Reshape[b,h,w,o] -> Transpose
        Einsum(bchw,bc->bchw)(x, s)       becomes     Mul(x, Reshape(s, [b,c,1,1]))

    Axes of one operand alone are summed first. A batched product is written with rank 4, because
    the converter refuses a MatMul behind a Transpose of rank 3; it has no other Einsum than
    bij,bjk->bik (snpe-onnx-to-dlc 2.25.0.240728 experiment).
    """

    name = "expand-einsum"
    operators = frozenset({"Einsum"})

    def concerns(self, node: ir.Node) -> bool:
        return _equation(node).replace(" ", "") != _KNOWN

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        values = [value for value in node.inputs if value is not None]
        equation, sizes = self._read(node, values)
        terms = []
        for k, value in enumerate(values):
            alone = equation.only_in(k)
            summed = _sum_over(writer, value, equation.operands[k], alone)
            terms.append((summed, "".join(c for c in equation.operands[k] if c not in alone)))
        if len(terms) == 1:
            value, letters = terms[0]
        elif _contracted(terms[0][1], terms[1][1], equation.result):
            value, letters = _matrix_product(writer, terms, equation.result, sizes)
        else:
            value, letters = _product(writer, terms, equation.result, sizes)
        value = writer.transpose(value, _order(letters, equation.result))
        writer.replace(
            writer.put("Identity", value) if any(value is given for given in values) else value
        )
        return f"{_equation(node)} spelled out"

    def _read(self, node: ir.Node, values: Sequence[ir.Value]) -> tuple[Equation, dict[str, int]]:
        """The equation, and the size of every letter."""
        shapes = [shape for shape in map(fixed_shape, values) if shape is not None]
        if len(values) > 2 or len(shapes) != len(values):
            raise LeftAloneError("it has three operands or more, or shapes that are not fixed")
        try:
            equation = Equation.parse(_equation(node), [len(shape) for shape in shapes])
        except EquationError as error:
            raise LeftAloneError(str(error)) from error
        sizes: dict[str, int] = {}
        for letters, shape in zip(equation.operands, shapes, strict=True):
            for letter, size in zip(letters, shape, strict=True):
                if sizes.setdefault(letter, size) != size:
                    raise LeftAloneError(f"its operands have two sizes for {letter}")
        if len(equation.result) > _MOST_AXES:
            raise LeftAloneError(f"its result has more than {_MOST_AXES} axes")
        return equation, sizes


def _equation(node: ir.Node) -> str:
    return node.attributes["equation"].as_string()


def _order(letters: str, wanted: str) -> list[int]:
    """Permutation that brings axes in the order ``wanted``."""
    return [letters.index(c) for c in wanted]


def _sum_over(writer: Writer, value: ir.Value, letters: str, alone: str) -> ir.Value:
    if not alone:
        return value
    return writer.reduce("ReduceSum", value, [letters.index(c) for c in alone], keepdims=0)


def _contracted(first: str, second: str, result: str) -> str:
    """Letters that both operands have and the result has not."""
    return "".join(c for c in first if c in second and c not in result)


def _arranged(
    writer: Writer,
    term: tuple[ir.Value, str],
    order: str,
    shape: Sequence[int],
    sizes: Mapping[str, int],
) -> ir.Value:
    """A term with its axes in ``order``, merged or spread to ``shape``."""
    value, letters = term
    moved = writer.transpose(value, _order(letters, order))
    return moved if [sizes[c] for c in order] == list(shape) else writer.reshape(moved, shape)


def _matrix_product(
    writer: Writer, terms: list[tuple[ir.Value, str]], result: str, sizes: Mapping[str, int]
) -> tuple[ir.Value, str]:
    """MatMul over the contracted letters; the product, and the letters of its axes."""
    first, second = terms[0][1], terms[1][1]
    batch = "".join(c for c in result if c in first and c in second)
    inner = _contracted(first, second, result)
    rows = "".join(c for c in first if c not in batch + inner)
    columns = "".join(c for c in second if c not in batch + inner)
    m, k, n, total = (prod(sizes[c] for c in part) for part in (rows, inner, columns, batch))
    lead = [sizes[c] for c in batch] if len(batch) in (0, 2) else [1, total]
    left = _arranged(writer, terms[0], batch + rows + inner, [*lead, m, k], sizes)
    right = _arranged(writer, terms[1], batch + inner + columns, [*lead, k, n], sizes)
    product, shape = writer.put("MatMul", left, right), [*lead, m, n]
    letters = batch + rows + columns
    wanted = [sizes[c] for c in letters]
    return (product if wanted == shape else writer.reshape(product, wanted)), letters


def _product(
    writer: Writer, terms: list[tuple[ir.Value, str]], result: str, sizes: Mapping[str, int]
) -> tuple[ir.Value, str]:
    """Mul of two terms that are spread over the axes of the result."""
    spread = []
    for value, letters in terms:
        order = "".join(c for c in result if c in letters)
        shape = [sizes[c] if c in letters else 1 for c in result]
        spread.append(_arranged(writer, (value, letters), order, shape, sizes))
    return writer.put("Mul", *spread), result
