"""Named rules about what the converter writes; see ``predicates.py`` for their form.

Each gives the reason why the DLC would compute something else than the ONNX model, or an empty
string. All were found by feeding small models to a converter and running what it wrote; the rows
of ``faults.csv`` name the version.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

import numpy as np

from avatar_export.whitelist.context import fusion_of
from avatar_export.whitelist.rules.axes import reduced_axes
from avatar_export.whitelist.rules.folding import is_uniform
from avatar_export.whitelist.rules.predicates import predicate
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView

_INT32 = 2**31


def _pads(node: NodeView) -> list[int]:
    return node.listed("pads", 1) or []


@predicate
def whole_padding(node: NodeView, target: Target) -> str:
    """A padding value given as an input is a whole number that fits 32 bits, or nothing is padded.

    An attribute, as in operator sets up to 10, is kept as it is.
    """
    if not node.has(2) or not any(_pads(node)):
        return ""
    value = float(node.model.value(node.inputs[2]).ravel()[0].item())
    if np.isfinite(value) and value == int(value) and -_INT32 <= value < _INT32:
        return ""
    return f"the padding value {value:g} is cut to an integer"


@predicate
def one_sign(node: NodeView, target: Target) -> str:
    """Padding amounts are all positive, or all negative and of H and W; zeros go with both."""
    pads = _pads(node)
    crops = any(p < 0 for p in pads)
    if crops and any(p > 0 for p in pads):
        return f"pads {pads} have both signs"
    rank = len(pads) // 2
    outer = [p for i, p in enumerate(pads) if p and i % rank < rank - 2]
    return f"of the crop {pads} only H and W are kept" if crops and outer else ""


@predicate
def kept_slopes(node: NodeView, target: Target) -> str:
    """The slope has more than one dimension, or all its elements are the same."""
    shape = node.shape(1)
    if len(shape) != 1 or shape[0] == 1 or is_uniform(node, 1):
        return ""
    return f"of the slope {list(shape)} only element 0 is kept"


@predicate
def self_inverse(node: NodeView, target: Target) -> str:
    """The permutation moves the elements as its inverse does.

    Axes that stay neighbours count as one, and axes of size 1 do not count.
    """
    shape = node.shape()
    perm = node.ints("perm") or list(range(len(shape)))[::-1]
    blocks = _blocks(perm)
    order = [sorted(blocks).index(block) for block in blocks]
    inverse = [sorted(blocks)[order.index(i)] for i in range(len(blocks))]
    moved, written = (_elements(b, shape) for b in (blocks, inverse))
    return "" if moved == written else f"permutation {perm} of {list(shape)} is written inverted"


def _blocks(perm: list[int]) -> list[tuple[int, ...]]:
    """The permutation with runs of neighbouring axes joined."""
    blocks: list[list[int]] = []
    for axis in perm:
        if blocks and axis == blocks[-1][-1] + 1:
            blocks[-1].append(axis)
        else:
            blocks.append([axis])
    return [tuple(block) for block in blocks]


@predicate
def joined_sizes_fit(node: NodeView, target: Target) -> str:
    """From rank 6 on, the sizes of axes that stay neighbours can be joined.

    Each size is multiplied by the next as it was, and the joined axes are then taken out by their
    old numbers, the last of the permutation first; so runs of three, and neighbours that change
    sides, do not come out right.
    """
    perm, sizes = node.ints("perm") or list(range(node.rank()))[::-1], list(node.shape())
    if len(perm) < 6:
        return ""
    right = [prod(sizes[axis] for axis in block) for block in sorted(_blocks(perm))]
    joined = [b for a, b in pairwise(perm) if b == a + 1]
    for axis in joined:
        sizes[axis - 1] *= sizes[axis]
    for axis in reversed(joined):
        if axis < len(sizes):
            del sizes[axis]
    return "" if sizes == right else f"permutation {perm} leads to sizes {sizes}, not {right}"


def _elements(blocks: list[tuple[int, ...]], shape: tuple[int, ...]) -> list[int]:
    return [axis for block in blocks for axis in block if shape[axis] != 1]


_KINDS = {"f32": 3, "f16": 3, "bf16": 3, "bool8": 1}
_INTEGERS = 2


@predicate
def kept_casts(node: NodeView, target: Target, *integral: str) -> str:
    """No value changes in a pair of casts whose end this node is, or the pair stays.

    The first one vanishes when only casts read it, and one of a pair follows it at once. The
    result of one of the ``integral`` operators is whole already, so that a cast to an integer and
    back changes nothing.
    """
    first = node.model.producers.get(node.inputs[0])
    if first is None or first.operator != node.operator or not _vanishes(first):
        return ""
    names = (first.inputs[0], first.outputs[0], node.outputs[0])
    before, between, after = (node.model.dtype(name) for name in names)
    source, middle, end = (_KINDS.get(d, _INTEGERS) for d in (before, between, after))
    if middle == _INTEGERS:
        loses = source > middle != end and first.producer(0) not in integral
    else:
        loses = middle < min(source, end)
    return f"{before} to {between} and on to {after} skips {between}" if loses else ""


def _vanishes(cast: NodeView) -> bool:
    """Whether casts alone read the result, and the next node of the graph ends such a pair."""
    view = cast.model
    if any(reader.operator != "Cast" for reader in view.consumers.get(cast.outputs[0], ())):
        return False
    place = view.places.get(id(cast))
    following = view.unfolded[place + 1 : place + 2] if place is not None else []
    return any(n.operator == "Cast" and n.producer(0) == "Cast" for n in following)


@predicate
def last_alone(node: NodeView, target: Target) -> str:
    """A fused L2 norm, which is written for the last axis whatever axis is reduced, reduces it."""
    fusion = fusion_of(node)
    anchor = fusion.anchor if fusion else node
    shape = anchor.shape()
    wide = [axis for axis, dim in enumerate(shape) if dim != 1]
    axes = [axis % len(shape) for axis in reduced_axes(anchor)]
    last = len(shape) - 1
    if {axis for axis in axes if axis in wide} == {last} & set(wide):
        return ""
    return f"axis {axes} of rank {len(shape)} is reduced, and axis {last} is written"


@predicate
def factor_kept(node: NodeView, target: Target) -> str:
    """No factor is lost with the product that ends an RMS norm.

    The converter takes x / Sqrt(...) * y for x * (1 / Sqrt(...)), and drops what it takes for x.
    """
    fusion = fusion_of(node)
    if fusion is None or fusion.root is not node or node.operator != "Mul":
        return ""
    quotients = [m for m in fusion.members if m.operator in ("Div", "Reciprocal")]
    if not quotients:
        return ""
    quotient = quotients[0]
    factor = 1 if node.inputs[0] == quotient.outputs[0] else 0
    if node.inputs[factor] == fusion.tensor:
        return ""
    if is_uniform(node, factor) and (node.model.value(node.inputs[factor]) == 1).all():
        return ""
    return f"the factor {node.inputs[factor]} is dropped"


@predicate
def flattened_alone(node: NodeView, target: Target) -> str:
    """An axis that stands for itself and all after it, as below set 13, has nothing after it."""
    shape, axis = node.shape(), int(str(node.attribute("axis")))
    rest = shape[axis % len(shape) + 1 :]
    if all(dim == 1 for dim in rest):
        return ""
    return f"axes {axis} to {len(shape) - 1} are one in ONNX, and only axis {axis} is written"


@predicate
def order_restored(node: NodeView, target: Target) -> str:
    """The axis is one after which the result stands in an order that its readers know."""
    rank, axis = node.rank(), int(str(node.attribute("axis"))) % node.rank()
    if axis == rank - 1 or (axis == 1 and rank >= 3) or node.outputs[0] not in node.model.outputs:
        return ""
    return f"axis {axis} of rank {rank} is moved to the end, and the output stays so"
