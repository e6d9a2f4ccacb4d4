"""Read the graph of a DLC of format 4: its nodes with their attributes, and its tensors.

The ``model`` member is eight bytes of header (``D5 0A``, major, minor, two zero bytes) and a
flatbuffer with the identifier ``NETD``. The slots used below were found by experiment on files of
SNPE 2.25.0.240728's snpe-onnx-to-dlc and of the libQnnIr.so in onnxruntime-qnn 2.7.0, starting
from the schema that Netron (MIT) publishes as dlc.fbs.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from avatar_export.dlc.flatbuffer import DAMAGED, Buffer, Table
from avatar_export.errors import ModelError

SIGNATURE = b"\xd5\x0a"
HEADER_SIZE = 8
FORMAT_READ = 4
"""The major format number of the 2.x SDKs; a 2.25 reader refuses 3 and 5 with error 312."""

# Slots of the tables, as vtable indices.
_MODEL_GRAPHS = 0
_GRAPH_NODES, _GRAPH_TENSORS = 1, 2
_NODE_NAME, _NODE_TYPE, _NODE_INPUTS, _NODE_OUTPUTS, _NODE_ATTRIBUTES = 0, 1, 2, 3, 4
_ATTRIBUTE_NAME, _ATTRIBUTE_KIND, _ATTRIBUTE_VALUE, _ATTRIBUTE_TENSOR = 0, 1, 3, 4
_VALUE_TYPE, _VALUE_INTEGER, _VALUE_REAL, _VALUE_TEXT = 0, 1, 2, 3
_TENSOR_NAME, _TENSOR_KIND, _TENSOR_DIMS, _TENSOR_AXIS, _TENSOR_DTYPE = 1, 2, 3, 4, 6
_KIND_INPUT, _KIND_OUTPUT, _KIND_STATIC, _KIND_NULL = 0, 1, 4, 5
_KIND_TENSOR = 1
"""Of an attribute; 0 is a scalar."""

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
    0x308: "sfixed8",
    0x316: "sfixed16",
    0x332: "sfixed32",
    0x408: "ufixed8",
    0x416: "ufixed16",
    0x432: "ufixed32",
    0x508: "bool",
}
_RANK_AT_MOST = 32
_REALS = (0x216, 0x232)
_TEXTS = (0x608, 0x7FFFFFFF)
"""Type codes of a string: that of libQnnIr, that of the SDK."""


@dataclass(frozen=True)
class DlcTensor:
    """A tensor as stored.

    Attributes:
        axis_format: such as ``NHWC``; empty where the writer set none.
        dtype: numpy name; ``ufixed8`` and the like for quantised values; else the code in hex.
        static: whether the file holds its values.
        absent: whether it stands for an input that is left out.
    """

    name: str
    shape: tuple[int, ...]
    axis_format: str
    dtype: str
    static: bool = False
    absent: bool = False


Attribute = int | float | str | DlcTensor


@dataclass(frozen=True)
class DlcNode:
    """One operation: its stored name, its IR type (``Conv2d``, ``Resize``) and its tensors.

    Attributes:
        attributes: scalars by name; a tensor's values lie in the parameters, see ``params``.
    """

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class DlcGraph:
    """Nodes in execution order, the tensors the application feeds and fetches, and all tensors."""

    nodes: tuple[DlcNode, ...]
    inputs: tuple[DlcTensor, ...]
    outputs: tuple[DlcTensor, ...]
    tensors: tuple[DlcTensor, ...] = ()


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
        return _decode(Buffer(model, HEADER_SIZE))
    except DAMAGED as error:
        raise ModelError(f"member 'model' is a damaged flatbuffer: {error}") from error


def _decode(buffer: Buffer) -> DlcGraph:
    if buffer.identifier != b"NETD":
        raise ModelError(f"member 'model' has the identifier {buffer.identifier!r}, not b'NETD'")
    graphs = list(buffer.root().tables(_MODEL_GRAPHS))
    if len(graphs) != 1:
        raise ModelError(f"the DLC holds {len(graphs)} graphs instead of one")
    nodes = tuple(_node(table) for table in graphs[0].tables(_GRAPH_NODES))
    tensors = [
        (table.integer(_TENSOR_KIND, "B"), _tensor(table))
        for table in graphs[0].tables(_GRAPH_TENSORS)
    ]
    return DlcGraph(
        nodes,
        tuple(tensor for kind, tensor in tensors if kind == _KIND_INPUT),
        tuple(tensor for kind, tensor in tensors if kind == _KIND_OUTPUT),
        tuple(tensor for _, tensor in tensors),
    )


def _node(table: Table) -> DlcNode:
    attributes = table.tables(_NODE_ATTRIBUTES)
    op_type, outputs = table.string(_NODE_TYPE), tuple(table.strings(_NODE_OUTPUTS))
    if not op_type or not outputs:
        raise IndexError("node without type or output")
    return DlcNode(
        table.string(_NODE_NAME),
        op_type,
        tuple(table.strings(_NODE_INPUTS)),
        outputs,
        {each.string(_ATTRIBUTE_NAME): _attribute(each) for each in attributes},
    )


def _attribute(table: Table) -> Attribute:
    """A tensor, or a scalar: booleans and enumerations are integers, floats are widened."""
    is_tensor = table.integer(_ATTRIBUTE_KIND, "B") == _KIND_TENSOR
    inner = table.table(_ATTRIBUTE_TENSOR if is_tensor else _ATTRIBUTE_VALUE)
    if inner is None:
        raise IndexError(f"attribute {table.string(_ATTRIBUTE_NAME)!r} has no value")
    if is_tensor:
        return _tensor(inner)
    code = inner.integer(_VALUE_TYPE, "I")
    if code in _TEXTS:
        return inner.string(_VALUE_TEXT)
    return inner.real(_VALUE_REAL) if code in _REALS else inner.integer(_VALUE_INTEGER, "q")


def _tensor(table: Table) -> DlcTensor:
    shape = tuple(table.integers(_TENSOR_DIMS))
    if len(shape) > _RANK_AT_MOST:
        raise IndexError(f"tensor of {len(shape)} dimensions")
    code = table.integer(_TENSOR_DTYPE, "I")
    dtype = _DATA_TYPES.get(code, f"0x{code:03x}")
    axis_format = _axis_format(table.integer(_TENSOR_AXIS, "b"), len(shape))
    kind = table.integer(_TENSOR_KIND, "B")
    return DlcTensor(
        table.string(_TENSOR_NAME),
        shape,
        axis_format,
        dtype,
        kind == _KIND_STATIC,
        kind == _KIND_NULL,
    )


def _axis_format(code: int, rank: int) -> str:
    """Name of an axis format; 0 is also the flatbuffer default, so it is trusted at rank 5 only."""
    if code == 0 and rank != 5:
        return ""
    return _AXIS_FORMATS[code] if 0 <= code < len(_AXIS_FORMATS) else ""
