"""What the converter makes of a whole graph, kept beside the view of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from avatar_export.whitelist.fusions import Fusion
from avatar_export.whitelist.layout import Layout
from avatar_export.whitelist.view import ModelView, NodeView


@dataclass(frozen=True)
class Context:
    """Merged nodes and orders of axes of one graph.

    Attributes:
        fusions: by ``id`` of every member node.
        layouts: by name of every tensor that is computed or fed.
    """

    fusions: Mapping[int, Fusion]
    layouts: Mapping[str, Layout]


_EMPTY = Context({}, {})


def set_context(view: ModelView, context: Context) -> None:
    """Keep what is known of a graph, for the rules to ask."""
    # On the view itself: a table beside it would keep every graph alive, for fusions name nodes.
    view.notes = context


def _context(view: ModelView) -> Context:
    return view.notes if isinstance(view.notes, Context) else _EMPTY


def fusion_of(node: NodeView) -> Fusion | None:
    """The fusion that the node is merged into."""
    return _context(node.model).fusions.get(id(node))


def layout_of(view: ModelView, name: str) -> Layout:
    """Order of axes of a tensor; ONNX order for a constant."""
    return _context(view).layouts.get(name, Layout.PLAIN)
