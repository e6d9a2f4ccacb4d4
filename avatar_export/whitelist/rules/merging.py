"""Named rules about merged patterns, asked of the node marked with ``@``; see ``predicates.py``."""

from __future__ import annotations

from math import prod

from avatar_export.whitelist.rules.axes import reduced_axes
from avatar_export.whitelist.rules.predicates import predicate
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView, Shape

# Reshape to rank 5 or 6, Transpose, Reshape: permutation, the axes of the block, and its direction.
_SHUFFLES: dict[tuple[int, ...], tuple[tuple[int, ...], str]] = {
    (0, 1, 4, 2, 5, 3): ((2, 3), "depth"),  # CRD: [N, C, r, q, H, W]
    (0, 3, 4, 1, 5, 2): ((1, 2), "depth"),  # DCR: [N, r, q, C, H, W]
    (0, 1, 3, 4, 2): ((2,), "depth"),  # [N, C, q, H, W]
    (0, 1, 3, 5, 2, 4): ((3, 5), "space"),  # CRD: [N, C, H, r, W, q]
    (0, 3, 5, 1, 2, 4): ((3, 5), "space"),  # DCR
    (0, 1, 4, 2, 3): ((4,), "space"),  # [N, C, H, W, q]
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
    """The transpose moves blocks from ``depth`` to space, or from ``space`` to depth.

    Blocks need not be square; of rank 5 they are one row high.
    """
    axes, found = _SHUFFLES.get(tuple(node.ints("perm") or ()), ((), ""))
    if found != direction:
        return "the permutation is no pixel shuffle"
    (before, after), shape = _around(node), node.shape()
    images = (before, after) if direction == "depth" else (after, before)
    if any(len(image) != 4 for image in images):
        return "no reshape of an image"
    (batch, channels, height, width), wide = images
    tall, broad = (1, *(shape[axis] for axis in axes))[-2:]
    same = wide == (batch, channels // (tall * broad), height * tall, width * broad)
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
def affine(node: NodeView, target: Target, *operators: str) -> str:
    """The operators follow the reshape after this norm one by one, each with one value a channel.

    Without any, or after the last, no product or sum that the converter would look at follows.
    """
    view = node.model
    (_, channels, *_), _ = _around(node)
    last = view.consumers[node.outputs[0]][0]
    for operator in operators:
        reader = view.consumers[last.outputs[0]][0]
        others = [name for name in reader.inputs if name != last.outputs[0]]
        fits = [tuple(d for d in view.shape(name) if d != 1) == (channels,) for name in others]
        if reader.operator != operator or fits != [True]:
            return f"{reader.operator} is not one value for each of {channels}"
        last = reader
    next_one = ("Mul", "Add", "")[len(operators)]
    more = next_one in (reader.operator for reader in view.consumers.get(last.outputs[0], ()))
    return f"{next_one} follows, and does not fit" if more else ""


@predicate
def bias_fits(node: NodeView, target: Target) -> str:
    """The constant that the next operator adds has one value for each column of the result."""
    view, columns = node.model, node.output_shape()[-1]
    reader = view.consumers[node.outputs[0]][0]
    for shape in (view.shape(name) for name in reader.inputs if name in view.constants):
        if shape and prod(shape) == shape[-1] == columns:
            return ""
        return f"{list(shape)} is not one value for each of {columns}"
    return "no constant"


@predicate
def undone(node: NodeView, target: Target) -> str:
    """The operator after this cast casts back to the type that was before it."""
    view = node.model
    after = view.consumers[node.outputs[0]][0]
    types = view.dtype(node.inputs[0]), view.dtype(after.outputs[0])
    return "" if types[0] == types[1] else f"{types[0]} becomes {types[1]}"


@predicate
def channel_constant(node: NodeView, target: Target, most: str = "4") -> str:
    """The constant that the next operator takes has one value, or one a channel of this image.

    ``most`` is the rank that it may have.
    """
    view, (_, channels, *size) = node.model, node.output_shape()
    reader = view.consumers[node.outputs[0]][0]
    for shape in (view.shape(name) for name in reader.inputs if name in view.constants):
        single = all(dim == 1 for dim in shape)
        vector = shape in ((channels,), (1, channels, 1, 1))
        if len(size) == 2 and len(shape) <= int(most) and (single or vector):
            return ""
        return f"{list(shape)} is not one value for each of {channels}"
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
