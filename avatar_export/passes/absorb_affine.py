"""Norms of a sum go into the layers that make the sum; its other readers undo them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from avatar_export.errors import ModelError
from avatar_export.passes.affine import Affine, affine_of
from avatar_export.passes.base import Pass, bypass, drop_unused
from avatar_export.passes.layers import Layer, Numbers, write
from avatar_export.passes.site import RefusedError, title
from avatar_export.passes.streams import is_stream, made, read
from avatar_export.precision.ranges import channel_ranges

# Undoing a norm may multiply the rounding of a channel by this: four bits. Of the 24 of float32 20
# are left, ten times what a pipeline asks of its passes; of the 11 of half precision seven.
MOST = 16.0

_Range = tuple[Numbers, Numbers]


class AbsorbAffine(Pass):
    """Let layers make a tensor as its norm wants it, although others read it too.

        v = Conv(W, p) + Resize(Conv(V, q))        v' = Conv(a W, a p + b) + Resize(Conv(a V, a q))
        y = a * v + b                        ->    y  = v'
        z = Conv(U, r)(Resize(v))                  z  = Conv(U / a, r - U b / a)(Resize(v'))

    with a and b of one number a channel: a batch norm, or a sum, difference, product or quotient
    with constant numbers. A constant passes unchanged through a repetition, so b goes into one
    addend. Another reader of v computes with v = (v' - b) / a, which a layer with constant numbers
    does at no cost. It cannot if it pads with zeros, which would have to be b, or if a channel is
    scaled by 0. Other readers, and outputs of the graph, need v itself.

    A reader that undoes a norm loses precision where b / a is large against v: the rounding of v'
    is that of v + b / a. So v is measured, and refused beyond :data:`MOST`. Nothing is lost where
    the norm is the only reader.

    A node goes, and no other changes its operator or its shapes: no price has to be asked.

    Args:
        runs: inputs by name, one mapping a run, on which v is measured; without any, a norm that
            is not the only reader stays.
    """

    name = "absorb-affine"

    def __init__(self, runs: Sequence[Mapping[str, np.ndarray]] = ()) -> None:
        self.runs = runs
        self._ranges: dict[ir.Value, _Range] = {}
        self._stays: set[ir.Node] = set()

    def apply(self, model: ir.Model) -> list[str]:
        self._ranges, self._stays = {}, set()
        changes, notes = [], []
        changed: dict[ir.Node, None] = {}
        for node in list(model.graph):
            affine = _site(node)
            if affine is None:
                continue
            try:
                makers, readers = self._plan(model, affine)
            except RefusedError as reason:
                self._stays.add(node)
                notes.append(f"{title(node)} stays: {reason}")
                continue
            self._write(model, affine, [*makers, *readers])
            changed |= dict.fromkeys(layer.node for layer in (*makers, *readers))
            changes.append(_told(node, makers, readers))
        for node in changed:
            self.stamp(node)
        self.notes = notes
        drop_unused(model)
        return changes

    def ensures(self, model: ir.Model) -> None:
        for node in model.graph:
            if node not in self._stays and _site(node) is not None:
                raise ModelError(f"{self.name}: {title(node)} was left as it was")

    def _plan(self, model: ir.Model, affine: Affine) -> tuple[list[Layer], list[Layer]]:
        """New makers and new other readers of what an affine map reads.

        Raises:
            RefusedError: it cannot be done, or loses too much.
        """
        makers = made(affine.data, affine.scale, affine.shift)
        readers = []
        if not _is_only_reader(affine):
            if not affine.scale.all():
                zero = int(np.flatnonzero(affine.scale == 0)[0])
                raise RefusedError(f"channel {zero} is scaled by 0, and {affine.data.name} is read")
            back = 1 / affine.scale, -affine.shift / affine.scale
            readers = read(affine.data, affine.node, *back)
            self._require_precision(model, affine)
        for layer in (*makers, *readers):
            layer.stored()  # refused before anything is written
        return makers, readers

    def _require_precision(self, model: ir.Model, affine: Affine) -> None:
        if not self.runs:
            raise RefusedError("no runs are given to measure what its other readers would lose")
        low, high = self._range(model, affine.data)
        worst, factor = worst_loss(low, high, affine.shift / affine.scale)
        if not factor <= MOST:
            raise RefusedError(
                f"its other readers would lose precision: channel {worst} by a factor of "
                f"{factor:.3g}, more than {MOST:g}"
            )

    def _range(self, model: ir.Model, value: ir.Value) -> _Range:
        if value not in self._ranges:
            sites = (_site(node) for node in model.graph)
            data = {site.data for site in sites if site is not None and not _is_only_reader(site)}
            found = channel_ranges(ir.to_proto(model), [v.name or "" for v in data], self.runs)
            self._ranges |= {v: found[v.name or ""] for v in data}
        return self._ranges[value]

    def _write(self, model: ir.Model, affine: Affine, layers: list[Layer]) -> None:
        for layer in layers:
            write(model, layer)
        if affine.data in self._ranges:
            ends = [affine.scale * end + affine.shift for end in self._ranges[affine.data]]
            self._ranges[affine.data] = np.minimum(*ends), np.maximum(*ends)
        bypass(model, affine.node, affine.data)


def worst_loss(low: Numbers, high: Numbers, offset: Numbers) -> tuple[int, float]:
    """Channel that loses most where v is computed as (v + offset) - offset, and how much.

    That is max|v + offset| / max|v|, of v between ``low`` and ``high``; [C] each.
    """
    size = np.maximum(np.abs(low), np.abs(high))
    carried = np.maximum(np.abs(low + offset), np.abs(high + offset))
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.where(carried == size, 1.0, carried / size)
    worst = int(np.argmax(factors))  # NaN counts as the largest
    return worst, float(factors[worst])


def _site(node: ir.Node) -> Affine | None:
    """A norm of a tensor that layers and sums make."""
    affine = affine_of(node)
    return affine if affine is not None and is_stream(affine.data) else None


def _is_only_reader(affine: Affine) -> bool:
    return len(affine.data.uses()) == 1 and not affine.data.is_graph_output()


def _told(node: ir.Node, makers: Sequence[Layer], readers: Sequence[Layer]) -> str:
    into, undone = (", ".join(title(x.node) for x in group) for group in (makers, readers))
    return f"{title(node)}: in {into}" + (f"; undone in {undone}" if undone else "")
