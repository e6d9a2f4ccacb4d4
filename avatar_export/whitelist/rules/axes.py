"""Named rules about the axis or the axes of a node; see ``predicates.py``. Tensors are NCHW."""

from __future__ import annotations

from avatar_export.whitelist.rules.predicates import predicate
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView, UndeterminedError


def _axis(node: NodeView) -> int:
    """The axis counted from the front; 0 where there is neither attribute nor default."""
    size, given = node.rank(), node.attribute("axis")
    if size == 0:
        raise UndeterminedError(f"{node.inputs[0]} is a scalar, it has no axis")
    return int(str(given or 0)) % size


@predicate
def channel_axis(node: NodeView, target: Target, *keepers: str) -> str:
    """The axis is the last one inside SNPE: C of an NCHW tensor, else the last.

    After one of the ``keepers`` a tensor stands in ONNX order, so its last axis counts too.
    """
    if node.attribute("axis") is None:
        return ""
    size, axis = node.rank(), _axis(node)
    last = axis == size - 1 and (size < 4 or node.producer(0) in keepers)
    channel = size >= 3 and axis == 1
    return "" if last or channel else f"axis {axis} of rank {size} is not the channel axis"


@predicate
def last_axis(node: NodeView, target: Target) -> str:
    """The axis is the last one."""
    given = node.attribute("axis")
    last = given == -1 or _axis(node) == node.rank() - 1
    return "" if last else f"axis {given} is not the last one"


@predicate
def axis_at_least(node: NodeView, target: Target, least: str) -> str:
    """The axis, counted from the front, is not one of the first few."""
    axis = _axis(node)
    return "" if axis >= int(least) else f"axis {axis} is not accepted, {least} or later is"


@predicate
def axis_is(node: NodeView, target: Target, wanted: str) -> str:
    """The axis, counted from the front, is this one."""
    axis = _axis(node)
    return "" if axis == int(wanted) else f"axis is {axis}, not {wanted}"


def reduced_axes(node: NodeView) -> list[int]:
    """Reduced axes, from the attribute or (later opsets) the second input; all when absent."""
    axes, size = node.listed("axes", 1), node.rank()
    if not axes and node.attribute("noop_with_empty_axes"):
        return []
    return [a % size for a in axes] if axes and size else list(range(size))


@predicate
def batch_alone(node: NodeView, target: Target) -> str:
    """The batch axis is reduced by itself or not at all."""
    axes = reduced_axes(node)
    return f"axes {axes} reduce the batch with others" if 0 in axes and len(axes) > 1 else ""


@predicate
def batch_kept(node: NodeView, target: Target) -> str:
    """The batch axis is not reduced."""
    axes = reduced_axes(node)
    return f"axes {axes} reduce the batch" if 0 in axes else ""
