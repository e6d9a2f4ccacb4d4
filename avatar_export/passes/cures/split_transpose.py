"""Transposes of more than five axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise, permutations
from math import prod

import onnx_ir as ir

from avatar_export.passes.base import fixed_shape, only_consumer
from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.reading import rank
from avatar_export.passes.cures.writer import Writer

_MOST_AXES = 5

# Pixel shuffles as the converter knows them, between two Reshapes: of each permutation the axes
# that one axis of the picture before is split into, those that one after is merged from (places in
# the transposed tensor), and the two that are the block.
_SHUFFLE = (((0,), (1, 2, 3), (4,), (5,)), ((0,), (1,), (2, 3), (4, 5)))
_UNSHUFFLE = (((0,), (1,), (2, 3), (4, 5)), ((0,), (1, 2, 3), (4,), (5,)))
_RECOGNISED = {
    (0, 1, 4, 2, 5, 3): (*_SHUFFLE, (2, 3)),
    (0, 3, 4, 1, 5, 2): (*_SHUFFLE, (1, 2)),
    (0, 1, 3, 5, 2, 4): (*_UNSHUFFLE, (3, 5)),
    (0, 3, 5, 1, 2, 4): (*_UNSHUFFLE, (3, 5)),
}


class SplitTranspose(Cure):
    """Axes of size 1 go, axes that stay together are one; what is left is done in steps.

        Transpose(x, 0 2 4 3 5 1)     becomes
        Reshape -> Transpose -> Reshape -> Transpose -> ... -> Reshape,    at most 5 axes each

    The converter writes a permutation of rank 6 as its inverse, and GPUs take rank 5 at most;
    pixel shuffles between two Reshapes become DepthToSpace or SpaceToDepth and stay
    (snpe-onnx-to-dlc 2.25.0.240728 experiment).
    """

    name = "split-transpose"
    operators = frozenset({"Transpose"})

    def concerns(self, node: ir.Node) -> bool:
        axes = rank(node.inputs[0])
        return axes is not None and axes > _MOST_AXES and not _is_pixel_shuffle(node)

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        value, shape = node.inputs[0], fixed_shape(node.inputs[0])
        if value is None or shape is None:
            raise LeftAloneError("the shape of its input is not fixed")
        sizes, order = _merged(shape, _perm(node, len(shape)))
        steps = list(_steps(order))
        for perm, groups in steps:
            value = writer.reshape(value, [prod(sizes[k] for k in group) for group in groups])
            value = writer.transpose(value, perm)
            sizes = [sizes[k] for place in perm for k in groups[place]]
        after = [shape[k] for k in _perm(node, len(shape))]
        writer.replace(writer.reshape(value, after))
        return f"became {len(steps)} of at most {_MOST_AXES} axes"


def _perm(node: ir.Node, axes: int) -> tuple[int, ...]:
    """The permutation; reversed axes where none is given."""
    return tuple(node.attributes.get_ints("perm", range(axes)[::-1]))


def _merged(shape: Sequence[int], perm: Sequence[int]) -> tuple[list[int], tuple[int, ...]]:
    """Sizes and permutation of the same transpose with the fewest axes."""
    moving = [axis for axis in perm if shape[axis] != 1]
    kept = sorted(moving)
    order = [kept.index(axis) for axis in moving]
    blocks = _blocks(order)
    by_place = sorted(blocks)
    sizes = [prod(shape[kept[k]] for k in block) for block in by_place]
    return sizes, tuple(by_place.index(block) for block in blocks)


def _blocks(order: Sequence[int]) -> list[tuple[int, ...]]:
    """``order`` cut into runs of axes that were neighbours before and still are."""
    blocks: list[tuple[int, ...]] = []
    for axis in order:
        if blocks and axis == blocks[-1][-1] + 1:
            blocks[-1] += (axis,)
        else:
            blocks.append((axis,))
    return blocks


def _steps(order: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
    """Transposes of groups of neighbouring axes that end in ``order``, each of few axes.

    Yields a permutation of groups, and which axes each group holds, counted as they lie before
    the step. Every step is the one that leaves the fewest runs to move.
    """
    while order != tuple(range(len(order))):
        groups = sorted(_blocks(order))
        if len(groups) <= _MOST_AXES:
            yield tuple(groups.index(block) for block in _blocks(order)), groups
            return
        perm, groups = min(_candidates(len(order)), key=lambda step: _left_over(order, *step))
        yield perm, groups
        order = _after(order, perm, groups)


def _candidates(count: int) -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
    """All ways to cut ``count`` axes into the most groups allowed, and to permute these."""
    for cuts in combinations(range(1, count), _MOST_AXES - 1):
        edges = [0, *cuts, count]
        groups = [tuple(range(a, b)) for a, b in pairwise(edges)]
        for perm in permutations(range(_MOST_AXES)):
            yield perm, groups


def _left_over(order: tuple[int, ...], perm: tuple[int, ...], groups: list[tuple[int, ...]]) -> int:
    return len(_blocks(_after(order, perm, groups)))


def _after(
    order: tuple[int, ...], perm: tuple[int, ...], groups: list[tuple[int, ...]]
) -> tuple[int, ...]:
    """What is left to do of ``order`` once ``groups`` lie as ``perm`` says."""
    lies = [axis for place in perm for axis in groups[place]]
    return tuple(lies.index(axis) for axis in order)


def _is_pixel_shuffle(node: ir.Node) -> bool:
    """Whether two Reshapes around a Transpose make it a pixel shuffle of whole blocks."""
    before, after = node.inputs[0], only_consumer(node.outputs[0])
    first = before.producer() if before is not None else None
    sizes = fixed_shape(before)
    if first is None or after is None or sizes is None:
        return False
    if (first.op_type, after.op_type) != ("Reshape", "Reshape"):
        return False
    perm = _perm(node, len(sizes))
    if perm not in _RECOGNISED:
        return False
    split, merged, (high, wide) = _RECOGNISED[perm]
    whole = tuple(prod(sizes[k] for k in group) for group in split)
    result = tuple(prod(sizes[perm[k]] for k in group) for group in merged)
    pictures = (fixed_shape(first.inputs[0]), fixed_shape(after.outputs[0]))
    return sizes[high] == sizes[wide] and pictures == (whole, result)
