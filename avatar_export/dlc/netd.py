"""Read the graph of a DLC of format 4: its nodes, and its network inputs and outputs.

The ``model`` member is eight bytes of header (``D5 0A``, major, minor, two zero bytes) and a
flatbuffer with the identifier ``NETD``. The slots used below were found by experiment on files of
SNPE 2.25.0.240728's snpe-onnx-to-dlc and of the libQnnIr.so in onnxruntime-qnn 2.7.0, starting
from the schema that Netron (MIT) publishes as dlc.fbs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from avatar_export.errors import ModelError

SIGNATURE = b"\xd5\x0a"
HEADER_SIZE = 8
FORMAT_READ = 4
"""The major format number of the 2.x SDKs; a 2.25 reader refuses 3 and 5 with error 312."""

# Slots of the tables, as vtable indices.
_MODEL_GRAPHS = 0
_GRAPH_NODES, _GRAPH_TENSORS = 1, 2
_NODE_NAME, _NODE_TYPE, _NODE_INPUTS, _NODE_OUTPUTS = 0, 1, 2, 3
_TENSOR_NAME, _TENSOR_KIND, _TENSOR_DIMS, _TENSOR_AXIS, _TENSOR_DTYPE = 1, 2, 3, 4, 6
_KIND_INPUT, _KIND_OUTPUT = 0, 1

_AXIS_FORMATS = (
    *("NCDHW", "NDHWC", "NCHW", "NHWC", "NCF", "NFC", "TNF", "NTF", "NF", "NC"),
    *("ANY", "NONTRIVIAL"),
)
_DATA_TYPES = {
    0x008: "int8",
    0x016: "int16",
    0x032: "int32",
    0x064: "int64",
    0x108: "uint8",
    0x116: "uint16",
    0x132: "uint32",
    0x164: "uint64",
    0x216: "float16",
    0x232: "float32",
    0x508: "bool",
}


@dataclass(frozen=True)
class DlcNode:
    """One operation: its stored name, its IR type (``Conv2d``, ``Resize``) and its tensors."""

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class DlcTensor:
    """A network input or output as stored; ``axis_format`` is empty where the writer set none."""

    name: str
    shape: tuple[int, ...]
    axis_format: str
    dtype: str


@dataclass(frozen=True)
class DlcGraph:
    """Nodes in execution order, and the tensors the application feeds and fetches."""

    nodes: tuple[DlcNode, ...]
    inputs: tuple[DlcTensor, ...]
    outputs: tuple[DlcTensor, ...]


def format_version(model: bytes) -> tuple[int, int]:
    """(major, minor) of a ``model`` member.

    Raises:
        ModelError: the member does not begin with the DLC signature.
    """
    if len(model) < HEADER_SIZE or not model.startswith(SIGNATURE):
        raise ModelError("member 'model' does not begin with the DLC signature D5 0A")
    major, minor = struct.unpack_from("<HH", model, 2)
    return major, minor


def read_graph(model: bytes) -> DlcGraph:
    """Decode the only graph of a format 4 ``model`` member.

    Raises:
        ModelError: another format, a damaged flatbuffer, or not exactly one graph.
    """
    major, minor = format_version(model)
    if major != FORMAT_READ:
        raise ModelError(f"DLC format {major}.{minor} is not read here, only format {FORMAT_READ}")
    try:
        return _decode(model[HEADER_SIZE:])
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ModelError(f"member 'model' is a damaged flatbuffer: {error}") from error


def _decode(data: bytes) -> DlcGraph:
    if data[4:8] != b"NETD":
        raise ModelError(f"member 'model' has the identifier {data[4:8]!r} instead of b'NETD'")
    buffer = _Buffer(data)
    graphs = list(_Table(buffer, buffer.unpack("I", 0)).tables(_MODEL_GRAPHS))
    if len(graphs) != 1:
        raise ModelError(f"the DLC holds {len(graphs)} graphs instead of one")
    nodes = tuple(_node(table) for table in graphs[0].tables(_GRAPH_NODES))
    tensors = [(t.integer(_TENSOR_KIND, "B"), t) for t in graphs[0].tables(_GRAPH_TENSORS)]
    return DlcGraph(
        nodes,
        tuple(_tensor(table) for kind, table in tensors if kind == _KIND_INPUT),
        tuple(_tensor(table) for kind, table in tensors if kind == _KIND_OUTPUT),
    )


def _node(table: _Table) -> DlcNode:
    return DlcNode(
        table.string(_NODE_NAME),
        table.string(_NODE_TYPE),
        tuple(table.strings(_NODE_INPUTS)),
        tuple(table.strings(_NODE_OUTPUTS)),
    )


def _tensor(table: _Table) -> DlcTensor:
    shape = tuple(table.integers(_TENSOR_DIMS))
    code = table.integer(_TENSOR_DTYPE, "I")
    dtype = _DATA_TYPES.get(code, f"0x{code:03x}")
    axis_format = _axis_format(table.integer(_TENSOR_AXIS, "b"), len(shape))
    return DlcTensor(table.string(_TENSOR_NAME), shape, axis_format, dtype)


def _axis_format(code: int, rank: int) -> str:
    """Name of an axis format; 0 is also the flatbuffer default, so it is trusted at rank 5 only."""
    if code == 0 and rank != 5:
        return ""
    return _AXIS_FORMATS[code] if 0 <= code < len(_AXIS_FORMATS) else ""


class _Buffer:
    """The bytes of a flatbuffer, every access checked, and a bound on how much is read of them.

    The flatbuffers package trusts the offsets it reads, which those of a hostile file do not
    deserve: tables that all point to one long vector make a small file decode to gigabytes.
    """

    _READ_AT_MOST = 16
    """Times its own size that a file is read; in written files strings are shared a few times."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._left = self._READ_AT_MOST * len(data)

    def unpack(self, kind: str, at: int) -> int:
        if at < 0:
            raise IndexError(f"offset {at}")
        value: int = struct.unpack_from("<" + kind, self.data, at)[0]
        return value

    def follow(self, at: int) -> int:
        """Where the 32-bit offset at ``at`` points to."""
        return at + self.unpack("I", at)

    def span(self, start: int, item_size: int) -> range:
        """Positions of the items of the vector at ``start``."""
        count = self.unpack("I", start)
        end = start + 4 + item_size * count
        self._left -= end - start
        if end > len(self.data) or self._left < 0:
            raise IndexError(f"vector of {count} items at {start}")
        return range(start + 4, end, item_size)

    def string(self, at: int) -> str:
        """The string whose offset is stored at ``at``."""
        span = self.span(self.follow(at), 1)
        return self.data[span.start : span.stop].decode()


class _Table:
    """A flatbuffer table; a field that is absent reads as 0, "" or nothing."""

    def __init__(self, buffer: _Buffer, at: int) -> None:
        self._buffer = buffer
        self._at = at
        self._vtable = at - buffer.unpack("i", at)
        self._vtable_size = buffer.unpack("H", self._vtable)

    def _field(self, slot: int) -> int:
        """Position of a field's data, or 0 when the table leaves the field out."""
        entry = 4 + 2 * slot
        if entry + 2 > self._vtable_size:
            return 0
        offset = self._buffer.unpack("H", self._vtable + entry)
        return self._at + offset if offset else 0

    def integer(self, slot: int, kind: str) -> int:
        """A scalar of the struct type ``kind``."""
        at = self._field(slot)
        return self._buffer.unpack(kind, at) if at else 0

    def string(self, slot: int) -> str:
        at = self._field(slot)
        return self._buffer.string(at) if at else ""

    def _items(self, slot: int) -> range:
        """Positions of the 4-byte items of a vector: integers, or offsets of strings and tables."""
        at = self._field(slot)
        return self._buffer.span(self._buffer.follow(at), 4) if at else range(0)

    def integers(self, slot: int) -> Iterator[int]:
        return (self._buffer.unpack("I", at) for at in self._items(slot))

    def strings(self, slot: int) -> Iterator[str]:
        return (self._buffer.string(at) for at in self._items(slot))

    def tables(self, slot: int) -> Iterator[_Table]:
        return (_Table(self._buffer, self._buffer.follow(at)) for at in self._items(slot))
