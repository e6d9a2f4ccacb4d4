"""The values of attribute tensors (strides, axes, pad amounts), which a DLC keeps with its weights.

The member ``model.params`` comes in three forms, found by experiment on files of SNPE
2.25.0.240728's snpe-onnx-to-dlc and of the libQnnIr.so in onnxruntime-qnn 2.7.0: pieces of the
member ``model.params.bin`` (libQnnIr); a vector of buffers with 64-bit lengths beside a flatbuffer
that numbers them (the SDK); bytes in the flatbuffer itself (the SDK's reader takes it too). Weights
are not read here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from avatar_export.dlc.container import PARAMS
from avatar_export.dlc.flatbuffer import DAMAGED, Buffer, Table
from avatar_export.dlc.netd import HEADER_SIZE, SIGNATURE, DlcGraph, DlcNode, DlcTensor
from avatar_export.errors import ModelError

PIECES = "model.params.bin"

Values = NDArray[np.generic]
_Fetch = Callable[[Table], bytes]

# Slots of the tables, as vtable indices.
_ROOT_GRAPHS = 0
_GRAPH_NODES = 2
_NODE_PIECES = 0
_PIECE_NAME, _PIECE_INLINE, _PIECE_INDEX, _PIECE_PLACE = 0, 1, 2, 3
_PLACE_OFFSET, _PLACE_SIZE = 0, 1
_OUTER_BUFFERS, _OUTER_INNER = 0, 1
_BUFFER_BYTES = 0

_VALUES_AT_MOST = 4096
"""Elements of an attribute; a rank-8 pad has sixteen."""
_BYTES_AT_MOST = 8 * _VALUES_AT_MOST + 1
_BOOL = {"bool": "uint8"}


def attribute_values(
    members: Mapping[str, bytes], graph: DlcGraph
) -> tuple[Mapping[str, Values], ...]:
    """For each node its attribute tensors by name of the attribute; those not stored are left out.

    Raises:
        ModelError: the parameters are damaged, or a tensor has another size than its shape says.
    """
    try:
        stored, fetch = _open(members)
        return tuple(
            _node_values(node, stored[i] if i < len(stored) else {}, fetch)
            for i, node in enumerate(graph.nodes)
        )
    except DAMAGED as error:
        raise ModelError(f"member {PARAMS!r} is a damaged flatbuffer: {error}") from error


def _open(members: Mapping[str, bytes]) -> tuple[list[dict[str, Table]], _Fetch]:
    """The pieces of each node by name, and the way to the bytes of one."""
    data = members[PARAMS]
    if not data:
        return [], _inline
    if not data.startswith(SIGNATURE):
        raise ModelError(f"member {PARAMS!r} does not begin with the DLC signature D5 0A")
    buffer = Buffer(data, HEADER_SIZE)
    if buffer.identifier == b"NR64":
        outer = buffer.root()
        return _pieces(Buffer(outer.bytes(_OUTER_INNER))), _numbered(outer)
    if PIECES in members:
        return _pieces(buffer), _placed(members[PIECES])
    return _pieces(buffer), _inline


def _pieces(buffer: Buffer) -> list[dict[str, Table]]:
    if buffer.identifier != b"NETP":
        raise ModelError(f"member {PARAMS!r} has the identifier {buffer.identifier!r}, not b'NETP'")
    graphs = list(buffer.root().tables(_ROOT_GRAPHS))
    nodes = graphs[0].tables(_GRAPH_NODES) if graphs else ()
    return [{p.string(_PIECE_NAME): p for p in node.tables(_NODE_PIECES)} for node in nodes]


def _inline(piece: Table) -> bytes:
    return piece.bytes(_PIECE_INLINE)


def _placed(pieces: bytes) -> _Fetch:
    def fetch(piece: Table) -> bytes:
        place = piece.table(_PIECE_PLACE)
        if place is None:
            return b""
        start = place.integer(_PLACE_OFFSET, "Q")
        return pieces[start : start + min(place.integer(_PLACE_SIZE, "Q"), _BYTES_AT_MOST)]

    return fetch


def _numbered(outer: Table) -> _Fetch:
    buffers = list(outer.tables(_OUTER_BUFFERS))

    def fetch(piece: Table) -> bytes:
        table = buffers[piece.integer(_PIECE_INDEX, "Q")]
        at = table.field(_BUFFER_BYTES)
        span = table.buffer.span(at + table.buffer.unpack("Q", at), 1, "Q") if at else range(0)
        return table.buffer.data[span.start : span.stop]

    return fetch


def _node_values(node: DlcNode, stored: Mapping[str, Table], fetch: _Fetch) -> dict[str, Values]:
    tensors = {k: v for k, v in node.attributes.items() if isinstance(v, DlcTensor)}
    return {
        attribute: _array(tensor, fetch(stored[tensor.name]))
        for attribute, tensor in tensors.items()
        if tensor.name in stored
    }


def _array(tensor: DlcTensor, data: bytes) -> Values:
    """The values of a tensor; integers and floats only, as attributes have no others."""
    count = prod(tensor.shape)
    try:
        dtype = np.dtype(_BOOL.get(tensor.dtype, tensor.dtype)).newbyteorder("<")
        if count > _VALUES_AT_MOST or len(data) != count * dtype.itemsize:
            raise ValueError(f"{len(data)} bytes do not fit it")
        return np.frombuffer(data, dtype).reshape(tensor.shape)
    except (TypeError, ValueError) as error:
        shape = list(tensor.shape)
        raise ModelError(
            f"attribute {tensor.name!r} of {tensor.dtype} {shape} is damaged: {error}"
        ) from error
