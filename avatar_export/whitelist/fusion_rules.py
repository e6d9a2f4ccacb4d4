"""Named rules about merged patterns, asked of the node marked with ``@``; see ``predicates.py``."""

from __future__ import annotations

from avatar_export.whitelist.predicates import _axes as reduced_axes
from avatar_export.whitelist.predicates import predicate
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView, Shape

# Reshape to rank 6, Transpose, Reshape: permutation, the two axes of the block, and its direction.
_SHUFFLES: dict[tuple[int, ...], tuple[tuple[int, int], str]] = {
    (0, 1, 4, 2, 5, 3): ((2, 3), "depth"),  # CRD: [N, C, r, r, H, W]
    (0, 3, 4, 1, 5, 2): ((1, 2), "depth"),  # DCR: [N, r, r, C, H, W]
    (0, 1, 3, 5, 2, 4): ((3, 5), "space"),  # CRD: [N, C, H, r, W, r]
    (0, 3, 5, 1, 2, 4): ((3, 5), "space"),  # DCR
}


def _around(node: NodeView) -> tuple[Shape, Shape]:
    """Shapes before the reshape that feeds the node and after the one that it feeds."""
    view = node.model
    before = view.producers[node.inputs[0]]
    after = view.consumers[node.outputs[0]][0]
    return before.shape(), after.output_shape()


@predicate
def version(node: NodeView, target: Target, least: str, most: str = "99") -> str:
    """The version of the operator (``since_version``) lies in the range."""
    found = node.schema.since_version if node.schema else 0
    return "" if int(least) <= found <= int(most) else f"version {found} is not {least} to {most}"


@predicate
def shuffled(node: NodeView, target: Target, direction: str) -> str:
    """The transpose moves square blocks from ``depth`` to space, or from ``space`` to depth."""
    axes, found = _SHUFFLES.get(tuple(node.ints("perm") or ()), ((0, 0), ""))
    if found != direction:
        return "the permutation is no pixel shuffle"
    shape, (before, after) = node.shape(), _around(node)
    block = shape[axes[0]]
    images = (before, after) if direction == "depth" else (after, before)
    if shape[axes[1]] != block or any(len(image) != 4 for image in images):
        return "the blocks are not square"
    deep, wide = images
    batch, channels, height, width = deep
    same = wide == (batch, channels // block**2, height * block, width * block)
    return "" if same else f"{list(before)} to {list(after)} is no pixel shuffle"


@predicate
def channels_shuffled(node: NodeView, target: Target) -> str:
    """The transpose swaps groups and members of the channels of an image."""
    before, after = _around(node)
    shape, perm = node.shape(), node.ints("perm")
    same = before == after and len(before) == 4 and before[2:] == shape[3:]
    return "" if same and perm == [0, 2, 1, 3, 4] else "no shuffle of channels"


@predicate
def grouped(node: NodeView, target: Target) -> str:
    """The norm works on [N, groups, rest], between reshapes that undo each other."""
    before, after = _around(node)
    shape = node.shape()
    same = before == after and len(shape) == 3 and len(before) >= 3 and before[0] == shape[0]
    return "" if same and before[1] % shape[1] == 0 else "no norm over groups of channels"


@predicate
def undone(node: NodeView, target: Target) -> str:
    """The operator after this cast casts back to the type that was before it."""
    view = node.model
    after = view.consumers[node.outputs[0]][0]
    types = view.dtype(node.inputs[0]), view.dtype(after.outputs[0])
    return "" if types[0] == types[1] else f"{types[0]} becomes {types[1]}"


@predicate
def channel_constant(node: NodeView, target: Target) -> str:
    """The constant that the next operator takes has one value a channel of this image."""
    view, channels = node.model, node.output_shape()[1]
    reader = view.consumers[node.outputs[0]][0]
    for name in reader.inputs:
        if name in view.constants:
            shape = view.shape(name)
            full = (1,) * (4 - len(shape)) + shape
            spread = full == (1, channels, 1, 1) or shape == (channels,)
            return "" if spread else f"{list(shape)} is not one value for each of {channels}"
    return "no constant"


@predicate
def one_axis(node: NodeView, target: Target) -> str:
    """The norm, or the mean inside a merged norm, works on a single axis."""
    start = node.attribute("axis")
    axes = reduced_axes(node) if start is None else _from(node, start)
    return "" if len(axes) == 1 else f"axes {axes} are normalised together"


def _from(node: NodeView, start: object) -> list[int]:
    """Axes of a layer normalization: the given one and all after it."""
    return list(range(int(str(start)) % node.rank(), node.rank()))
