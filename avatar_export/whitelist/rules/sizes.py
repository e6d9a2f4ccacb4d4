"""Named rules about sizes: image widths, weights, groups and resizing. See ``predicates.py``."""

from __future__ import annotations

from math import prod

from avatar_export.whitelist.rules.predicates import predicate
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView, Shape, UndeterminedError

# SNPE keeps four channels in one RGBA texel (limitations.html, section GPU).
_PACK = 4


def _packed(channels: int) -> int:
    return -(-channels // _PACK)


def _images(node: NodeView) -> list[tuple[str, Shape]]:
    """Name and shape of the 4-D tensors to judge here; those of unknown shape are left out.

    An input that another node writes is judged there, so that no tensor is reported twice.
    """
    found: list[tuple[str, Shape]] = []
    own = [name for name in node.inputs if name and name not in node.model.producers]
    for name in (*own, *node.outputs):
        try:
            shape = node.model.shape(name)
        except UndeterminedError:
            continue
        if len(shape) == 4:
            found.append((name, shape))
    return found


@predicate
def packed_width(node: NodeView, target: Target) -> str:
    """ceil(C/4) * W is below the image width, for each 4-D tensor of the node."""
    for name, (_, channels, _, width) in _images(node):
        used = _packed(channels) * width
        if used >= target.max_image_width:
            return (
                f"{name}: ceil({channels}/4) * {width} = {used}, below {target.max_image_width}"
                " is needed"
            )
    return ""


@predicate
def image_height(node: NodeView, target: Target) -> str:
    """N * H is at most the image height, for each 4-D tensor of the node."""
    for name, (batch, _, height, _) in _images(node):
        if batch * height > target.max_image_width:
            return f"{name}: {batch} * {height} rows exceed {target.max_image_width}"
    return ""


@predicate
def filter_area(node: NodeView, target: Target, factor: str = "1") -> str:
    """Kernel area times the factor is at most the image width."""
    kernel = node.shape(1)[2:]
    used = prod(kernel) * int(factor)
    return _beyond(f"filter {list(kernel)} * {factor}", used, target.max_image_width)


@predicate
def filter_depth(node: NodeView, target: Target) -> str:
    """Kernel area times input channels of a group is at most the image width."""
    _, depth, *kernel = node.shape(1)
    return _beyond(f"filter {kernel} * depth {depth}", prod(kernel) * depth, target.max_image_width)


@predicate
def out_channels(node: NodeView, target: Target, divisor: str = "1") -> str:
    """Output channels (weight dimension 0) over the divisor are at most the image width."""
    channels = node.shape(1)[0]
    used = -(-channels // int(divisor))
    return _beyond(f"{channels} output channels / {divisor}", used, target.max_image_width)


@predicate
def deconvolution_product(node: NodeView, target: Target) -> str:
    """ceil(Cin/4) * Cout is at most the image width; the weight is [Cin, Cout/g, ...]."""
    depth, per_group = node.shape(1)[:2]
    channels = per_group * _groups(node)
    used = _packed(depth) * channels
    return _beyond(f"ceil({depth}/4) * {channels}", used, target.max_image_width)


@predicate
def fully_connected(node: NodeView, target: Target) -> str:
    """W * H * C of the input and the output channels are at most the image width."""
    shape, channels = node.shape(0), node.output_shape()[-1]
    row = prod(shape[1:]) if len(shape) == 4 else shape[-1]
    limit = target.max_image_width
    return _beyond("input elements", row, limit) or _beyond("output channels", channels, limit)


def _beyond(what: str, used: int, limit: int) -> str:
    return f"{what} = {used}, at most {limit} is accepted" if used > limit else ""


def _groups(node: NodeView) -> int:
    return int(str(node.attribute("group") or 1))


@predicate
def depthwise(node: NodeView, target: Target) -> str:
    """group == Cin == Cout; the weight is [Cout, 1, ...]."""
    groups, channels = _groups(node), node.shape(1)[0]
    same = groups == channels == node.shape(1)[1] * groups
    return "" if same else f"{groups} groups for {channels} output channels"


@predicate
def group_multiple(node: NodeView, target: Target, side: str) -> str:
    """Channels of the side, ``out`` or ``in``, are a multiple of 4 * group when group > 1."""
    groups = _groups(node)
    channels = node.shape(1)[0] if side == "out" else node.shape(1)[1] * groups
    if groups == 1 or channels % (_PACK * groups) == 0:
        return ""
    return f"{channels} {side} channels are not a multiple of 4 * {groups}"


@predicate
def channels_by_four(node: NodeView, target: Target) -> str:
    """Channels of every 4-D input are a multiple of 4."""
    counts = [node.shape(i)[1] for i in node.operands() if node.rank(i) == 4]
    odd = [c for c in counts if c % _PACK]
    return f"{odd[0]} channels are not a multiple of 4" if odd else ""


@predicate
def stride_within_filter(node: NodeView, target: Target, margin: str = "0") -> str:
    """stride + margin is at most the filter side, on each axis."""
    kernel = node.shape(1)[2:]
    strides = node.ints("strides") or [1] * len(kernel)
    wide = any(s + int(margin) > k for s, k in zip(strides, kernel, strict=True))
    return f"stride {strides} against filter {list(kernel)}" if wide else ""


@predicate
def dims_at_most(node: NodeView, target: Target, most: str) -> str:
    """No dimension of an input exceeds the number."""
    longest = max(d for i in node.operands() for d in (*node.shape(i), 0))
    return _beyond("longest dimension", longest, int(most))


@predicate
def output_above_one(node: NodeView, target: Target) -> str:
    """Height and width of the result are larger than 1."""
    size = node.output_shape()[2:]
    return f"the result is {list(size)}, H and W must exceed 1" if min(size, default=2) <= 1 else ""


@predicate
def spatial_only(node: NodeView, target: Target) -> str:
    """Batch and channels are not scaled."""
    before, after = node.shape()[:2], node.output_shape()[:2]
    return "" if before == after else f"{list(before)} is scaled to {list(after)}"


@predicate
def integer_factor(node: NodeView, target: Target) -> str:
    """Every dimension grows by a whole factor."""
    pairs = list(zip(node.shape(), node.output_shape(), strict=True))
    whole = all(before and after % before == 0 for before, after in pairs)
    return "" if whole else f"{list(node.shape())} to {list(node.output_shape())} is not whole"


@predicate
def leading_ones(node: NodeView, target: Target, index: str, free: str) -> str:
    """Elements of a constant input before the last few are all 1."""
    values = [int(v) for v in node.model.value(node.inputs[int(index)]).ravel()]
    head = values[: max(len(values) - int(free), 0)]
    return f"{values} repeats a leading axis" if any(v != 1 for v in head) else ""


@predicate
def leading_kept(node: NodeView, target: Target, free: str) -> str:
    """Dimensions before the last few are the same after the node."""
    cut = max(node.rank() - int(free), 0)
    before, after = node.shape()[:cut], node.output_shape()[:cut]
    return "" if before == after else f"{list(before)} becomes {list(after)} on an outer axis"
