"""Named rules about what the converter writes; see ``predicates.py`` for their form.

Each gives the reason why the DLC would compute something else than the ONNX model, or an empty
string. All were found by feeding small models to a converter and running what it wrote; the rows
of ``faults.csv`` name the version.
"""

from __future__ import annotations

import numpy as np

from avatar_export.whitelist.context import fusion_of, layout_of
from avatar_export.whitelist.layout import Layout
from avatar_export.whitelist.predicates import predicate
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView, UndeterminedError

_INT32 = 2**31


def _pads(node: NodeView) -> list[int]:
    given = node.ints("pads")
    if given is None and node.has(1):
        given = [int(v) for v in node.model.value(node.inputs[1]).ravel()]
    return given or []


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
    """Padding amounts are all positive or all negative; zeros go with both."""
    pads = _pads(node)
    mixed = any(p > 0 for p in pads) and any(p < 0 for p in pads)
    return f"pads {pads} have both signs" if mixed else ""


@predicate
def kept_slopes(node: NodeView, target: Target) -> str:
    """The slope has more than one dimension, or all its elements are the same."""
    shape = node.shape(1)
    if len(shape) != 1 or shape[0] == 1 or _uniform(node, 1):
        return ""
    return f"of the slope {list(shape)} only element 0 is kept"


def _uniform(node: NodeView, index: int) -> bool:
    """Whether the input is a constant of which all elements are equal."""
    if not node.is_constant(index):
        return False
    try:
        value = node.model.value(node.inputs[index])
    except UndeterminedError:
        return False
    return bool((value == value.ravel()[:1]).all())


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


def _elements(blocks: list[tuple[int, ...]], shape: tuple[int, ...]) -> list[int]:
    return [axis for block in blocks for axis in block if shape[axis] != 1]


_KINDS = {"f32": 3, "f16": 3, "bf16": 3, "bool8": 1}
_INTEGERS = 2


@predicate
def kept_casts(node: NodeView, target: Target, *integral: str) -> str:
    """No value changes in a pair of casts whose end this node is.

    The result of one of the ``integral`` operators is whole already, so that a cast to an integer
    and back changes nothing.
    """
    first = node.model.producers.get(node.inputs[0])
    if first is None or first.operator != node.operator:
        return ""
    names = (first.inputs[0], first.outputs[0], node.outputs[0])
    before, between, after = (node.model.dtype(name) for name in names)
    source, middle, end = (_KINDS.get(d, _INTEGERS) for d in (before, between, after))
    loses = middle < min(source, end)
    whole = middle == _INTEGERS and first.producer(0) in integral
    return f"{before} to {between} and back to {after} is removed" if loses and not whole else ""


@predicate
def not_taken_for_channels(node: NodeView, target: Target, *folding: str) -> str:
    """No constant vector along the width is folded into a convolution before it.

    ``folding`` are the operators into which the converter folds.
    """
    if len(node.operands()) != 2:
        return ""
    for vector, tensor in ((0, 1), (1, 0)):
        if not node.is_constant(vector) or node.rank(vector) != 1 or node.rank(tensor) < 4:
            continue
        size, shape = node.shape(vector)[0], node.shape(tensor)
        alike = size > 1 and shape[1] == shape[-1] == size
        if alike and not _uniform(node, vector) and _folds(node, tensor, folding):
            return (
                f"the vector [{size}] is taken for one value a channel, as width and C are {size}"
            )
    return ""


def _folds(node: NodeView, index: int, folding: tuple[str, ...]) -> bool:
    name = node.inputs[index]
    alone = len(node.model.consumers.get(name, ())) == 1 and name not in node.model.outputs
    return alone and node.producer(index) in folding


@predicate
def axis_moved_once(node: NodeView, target: Target) -> str:
    """The reduced axis of a fused L2 norm stays right though it is translated twice."""
    fusion = fusion_of(node)
    anchor = fusion.anchor if fusion else node
    if layout_of(anchor.model, anchor.inputs[0]) is not Layout.LAST:
        return ""
    rank = anchor.rank()
    moved = [0, rank - 1, *range(1, rank - 1)]
    axes = [axis % rank for axis in _reduced(anchor)]
    written = [moved[moved[axis]] for axis in axes]
    right = [moved[axis] for axis in axes]
    if written == right:
        return ""
    return f"axis {axes} of rank {rank} is written as {written} channel-last instead of {right}"


def _reduced(node: NodeView) -> list[int]:
    axes = node.ints("axes")
    if axes is None and node.has(1):
        axes = [int(v) for v in node.model.value(node.inputs[1]).ravel()]
    return axes if axes else list(range(node.rank()))


@predicate
def order_restored(node: NodeView, target: Target) -> str:
    """The axis is one after which the result stands in an order that the application knows."""
    rank, axis = node.rank(), int(str(node.attribute("axis"))) % node.rank()
    if axis == rank - 1 or (axis == 1 and rank >= 3) or node.outputs[0] not in node.model.outputs:
        return ""
    return f"axis {axis} of rank {rank} is moved to the end, and the output stays so"
