"""In which order of axes the converter keeps each tensor.

SNPE computes channel-last: NHWC, at rank 3 NFC, at rank 5 NDHWC. Graph inputs of these ranks are
fed so, and operators of the convolution family write so; what comes out of Reshape, MatMul and the
like stays in ONNX order. Which operator does what stands in ``layouts.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from avatar_export.resources import layer_whitelist
from avatar_export.whitelist.clauses import MALFORMED, Clauses, parse
from avatar_export.whitelist.fusions import Fusion
from avatar_export.whitelist.rows import read_rows
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import ModelView, NodeView, UndeterminedError

_MOVED_RANKS = (3, 4, 5)


class Layout(StrEnum):
    """The order of axes of a stored tensor."""

    PLAIN = "plain"
    """ONNX order."""
    LAST = "last"
    """Channel-last."""
    UNTAGGED = "untagged"
    """ONNX order that a Transpose made of a channel-last tensor without moving a byte; the
    converter still takes it for channel-last."""


@dataclass(frozen=True)
class _Outcome:
    result: str
    condition: Clauses


@dataclass(frozen=True)
class _Row:
    outcomes: tuple[_Outcome, ...]
    unmoved: int


def to_last(shape: tuple[int | str | None, ...]) -> tuple[int | str | None, ...]:
    """A shape with its second axis moved to the end."""
    return (shape[0], *shape[2:], shape[1])


def find_layouts(
    view: ModelView, fusions: Mapping[int, Fusion], target: Target
) -> dict[str, Layout]:
    """Layout of every tensor that is computed or fed; constants are not in it."""
    found = {name: _fed(view, name) for name in view.inputs}
    for node in view.nodes:
        fusion = fusions.get(id(node))
        if fusion is not None and fusion.root is node and fusion.tensor:
            layout = _merged(fusion, found)
        else:
            layout = _layout_after(node, found, target)
        for name in node.outputs:
            if name in view.constants:
                continue
            moved = _rank(view, name) in _MOVED_RANKS
            found[name] = layout if moved else Layout.PLAIN
    return found


def _rank(view: ModelView, name: str) -> int:
    dims = view.dims(name)
    return -1 if dims is None else len(dims)


def _fed(view: ModelView, name: str) -> Layout:
    """Graph inputs are moved by their rank, but for those that feed, say, a grid of coordinates."""
    readers = view.consumers.get(name, [])
    unmoved = readers and all(_stays(reader, name) for reader in readers)
    moved = _rank(view, name) in _MOVED_RANKS and not unmoved
    return Layout.LAST if moved else Layout.PLAIN


def _stays(reader: NodeView, name: str) -> bool:
    row = _rows().get(reader.operator)
    if row is None or reader.domain or name not in reader.inputs:
        return False
    return reader.inputs.index(name) == row.unmoved


@cache
def _rows() -> Mapping[str, _Row]:
    rows = read_rows(layer_whitelist() / "layouts.csv")
    return {row["operator"]: _parse(row["result"], row["unmoved"]) for row in rows}


def _parse(result: str, unmoved: str) -> _Row:
    parts = [text.partition(" if ") for text in result.split(" else ")]
    outcomes = tuple(_Outcome(result, parse(condition)) for result, _, condition in parts)
    return _Row(outcomes, int(unmoved or -1))


def _merged(fusion: Fusion, found: Mapping[str, Layout]) -> Layout:
    """As the tensor that goes in; a norm over the last axis works, and ends, in ONNX order."""
    anchor = fusion.anchor
    last = _rank(anchor.model, anchor.inputs[0]) - 1
    try:
        axes = anchor.listed("axes", 1) if anchor.operator.startswith("Reduce") else None
    except UndeterminedError:
        return Layout.PLAIN
    if axes and all(axis in (-1, last) for axis in axes):
        return Layout.PLAIN
    return found.get(fusion.tensor, Layout.PLAIN)


def _layout_after(node: NodeView, found: Mapping[str, Layout], target: Target) -> Layout:
    result = _result(node, target)
    if result == "follows":
        return _followed(node, found)
    if result == "transposed":
        return _transposed(node, found)
    return Layout(result)


def _result(node: NodeView, target: Target) -> str:
    row = None if node.domain else _rows().get(node.operator)
    for outcome in row.outcomes if row else ():
        try:
            if not outcome.condition.failure(node, target):
                return outcome.result
        except (UndeterminedError, *MALFORMED):
            return "follows"
    return "follows"


def _followed(node: NodeView, found: Mapping[str, Layout]) -> Layout:
    """Channel-last as soon as one operand is, unless the ranks differ: then ONNX order."""
    computed = [name for name in node.inputs if name in found]
    layouts = {found[name] for name in computed}
    ranks = {_rank(node.model, name) for name in computed}
    if Layout.LAST in layouts and len(ranks) == 1 and not _vector_operand(node):
        return Layout.LAST
    return Layout.UNTAGGED if layouts == {Layout.UNTAGGED} else Layout.PLAIN


def _vector_operand(node: NodeView) -> bool:
    """Whether a constant vector of numbers is broadcast along the last axis."""
    view = node.model
    shapes = (view.dims(n) for n in node.inputs if n in view.constants and _is_float(view, n))
    return any(shape is not None and len(shape) == 1 and shape[0] != 1 for shape in shapes)


def _is_float(view: ModelView, name: str) -> bool:
    try:
        return view.dtype(name) in ("f32", "f16")
    except UndeterminedError:
        return False


def _transposed(node: NodeView, found: Mapping[str, Layout]) -> Layout:
    before = found.get(node.inputs[0], Layout.PLAIN) if node.inputs else Layout.PLAIN
    rank = _rank(node.model, node.inputs[0]) if node.inputs else 0
    perm = tuple(node.ints("perm") or reversed(range(rank)))
    if before is Layout.LAST and perm == tuple(range(rank)):
        return Layout.LAST
    if before is Layout.LAST and perm == (0, *range(2, rank), 1):
        return Layout.UNTAGGED
    if before is Layout.UNTAGGED and perm == (0, rank - 1, *range(1, rank - 1)):
        return Layout.LAST
    return Layout.PLAIN
