"""Matrix products stop multiplying the same number several times."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import fixed_shape
from avatar_export.passes.linear import Linear, linear, reshaped, write_linear
from avatar_export.passes.movement import Positions, repeats, sources
from avatar_export.passes.site import Proposal, RefusedError, SitePass, Sketch

_MOST_AXES = 5  # of a source whose axes are tried in every order: 120 orders


class RepeatedColumns(SitePass):
    """Sum the rows of a weight that meet the same number.

        e [1, 512, 8, 8] -> Resize [1, 512, 32, 32] -> Reshape [512, 1024] -> Gemm(W [1024, N])
        becomes
        e [1, 512, 8, 8] -> Reshape [512, 64] -> Gemm(W' [64, N])

    If column j of the left operand X is, in every row, the same element of the source as column
    g(j) of a narrower matrix E, then X = E G with G[g(j), j] = 1, and X W = E (G W): row i of G W
    is the sum of the rows j of W with g(j) = i. Multiply-adds fall by the factor of repetition.

    E is a view of the source (Reshape, or Transpose and Reshape) where it can be, else a Gather.
    The bias stays what it is.
    """

    name = "repeated-columns"

    def options(self, node: ir.Node) -> list[Proposal]:
        product = linear(node)
        if product is None or not repeats(product.x):
            return []
        operands = []
        for source, positions in sources(product.x):
            matrix = positions.T if product.transposed else positions
            if _has_repeats(matrix):
                operands.append(_Narrow.of(source, matrix))
        if not operands:
            return []
        # Of equals the farthest source: what stands between may not be needed any more.
        narrow = min(reversed(operands), key=lambda operand: operand.cost)
        if narrow.width == len(narrow.group):
            raise RefusedError("no two columns are equal in every row")
        return [_proposal(product, narrow)]


def _has_repeats(matrix: Positions) -> bool:
    """Whether the first row reads an element twice: a quick look."""
    first = matrix.reshape(-1, matrix.shape[-1])[0]
    return len(np.unique(first)) < len(first)


@dataclass(frozen=True)
class _Narrow:
    """A left operand without columns that repeat.

    Attributes:
        source: whose elements it holds.
        positions: of its elements [..., width] in the flat source.
        group: its column for each column of the operand as it was.
    """

    source: ir.Value
    positions: Positions
    group: np.ndarray

    @classmethod
    def of(cls, source: ir.Value, matrix: Positions) -> _Narrow:
        """``matrix`` holds positions; columns stay in the order of what the first row reads."""
        rows = matrix.reshape(-1, matrix.shape[-1])
        _, first, group = np.unique(rows, axis=1, return_index=True, return_inverse=True)
        return cls(source, matrix[..., first], group.reshape(-1))

    @property
    def width(self) -> int:
        return int(self.positions.shape[-1])

    @property
    def cost(self) -> tuple[int, bool, bool]:
        """What makes one source better than another: columns, then the nodes that read it."""
        order = self.order
        return self.width, order is None, order is not None and order != tuple(sorted(order))

    @property
    def order(self) -> tuple[int, ...] | None:
        """The order of axes in which the source, read through, is this operand."""
        dims = fixed_shape(self.source) or ()
        if self.positions.size != np.prod(dims) or len(dims) > _MOST_AXES:
            return None
        elements = np.arange(self.positions.size).reshape(dims)
        for order in permutations(range(len(dims))):
            if np.array_equal(elements.transpose(order).ravel(), self.positions.ravel()):
                return order
        return None

    def write(self, sketch: Sketch) -> ir.Value:
        """The operand as new nodes."""
        source, order = self.source, self.order
        dims = fixed_shape(source)
        assert dims is not None
        if order is None:
            flat = reshaped(sketch, source, [int(np.prod(dims))], "_rows")
            indices = sketch.weight("indices", self.positions.astype(np.int64))
            return sketch.put("Gather", [flat, indices], self.positions.shape, "_columns", axis=0)
        if order != tuple(sorted(order)):
            turned = [dims[axis] for axis in order]
            source = sketch.put("Transpose", [source], turned, "_turned", perm=order)
        return reshaped(sketch, source, self.positions.shape, "_rows")


def _proposal(product: Linear, narrow: _Narrow) -> Proposal:
    sketch = Sketch(product.nodes[0])
    kind = product.raw_weight.dtype
    weight = product.weight
    summed = np.zeros((narrow.width, weight.shape[1]))
    np.add.at(summed, narrow.group, weight)
    bias = None if product.bias is None else product.bias.astype(kind)
    numbers = summed.astype(kind), bias
    left = narrow.write(sketch)
    value = write_linear(sketch, left, numbers, product.shape, product.is_gemm)
    what = f"{len(narrow.group)} columns were {narrow.width}, repeated"
    return Proposal(product.nodes, tuple(sketch.nodes), ((product.output, value),), what)
