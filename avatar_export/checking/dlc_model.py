"""Read a DLC and have its operations judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from avatar_export.dlc import container, netd, params
from avatar_export.dlc.readers import BLIND_TO_QNNIR
from avatar_export.dlc.record import release
from avatar_export.errors import ModelError, UserError
from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.judgement import Judgement, NodeVerdict, Port
from avatar_export.whitelist.network.graph import Network, Operation, Tensor
from avatar_export.whitelist.network.operations import check_operations, network_finding
from avatar_export.whitelist.network.table import load_operation_table
from avatar_export.whitelist.tables import load_sdk
from avatar_export.whitelist.target import Target

# The tables name types as the QNN op definitions do.
_DTYPES = {
    "float32": "f32",
    "float16": "f16",
    "int32": "i32",
    "uint32": "u32",
    "int8": "i8",
    "uint8": "u8",
    "bool": "bool8",
}
# Channel-last axis formats, with the order of ONNX.
_ONNX_ORDERS = {"NFC": "NCF", "NHWC": "NCHW", "NDHWC": "NCDHW"}
_MIGRATION = "SNPE1 to SNPE2 Migration Guide"
_ADVICE = "convert the ONNX model again, with the SDK of the runtime"


@dataclass(frozen=True)
class DlcFile:
    """A DLC as read.

    Attributes:
        converter: version that the file claims, such as ``2.25.0.240728104910_97711``; may be
            empty.
        graph: None for a format that is not decoded, which ``format_version`` tells.
        weights_apart: whether the weights lie where only newer readers look.
    """

    name: str
    format_version: tuple[int, int]
    converter: str
    graph: netd.DlcGraph | None
    values: tuple[Mapping[str, params.Values], ...]
    weights_apart: bool

    @property
    def generation(self) -> int:
        """1 or 2, after the SDKs that write the format."""
        return 2 if self.format_version[0] >= netd.FORMAT_READ else 1


def check_dlc(path: Path, target: Target) -> Judgement:
    """Judge the operations of a DLC for the runtime of a target.

    Raises:
        UserError: the file cannot be read, or the target's SDK has no tables.
        ModelError: it is no DLC, is damaged, or is of a format that is not decoded here.
    """
    return judge_dlc(read_dlc(path), target)


def read_dlc(path: Path) -> DlcFile:
    """Read a DLC whole, except for its weights.

    Raises:
        UserError: the file cannot be read.
        ModelError: it is no DLC, or damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    members = container.read_members(data)
    version = netd.format_version(members[container.MODEL])
    decoded = version[0] == netd.FORMAT_READ
    graph = netd.read_graph(members[container.MODEL]) if decoded else None
    return DlcFile(
        path.name,
        version,
        container.converter_version(members),
        graph,
        params.attribute_values(members, graph) if graph else (),
        params.PIECES in members,
    )


def judge_dlc(file: DlcFile, target: Target) -> Judgement:
    """Judge a DLC that is already read.

    Raises:
        UserError: the target's SDK has no tables.
        ModelError: an operation is malformed, or the format is not decoded here.
    """
    wanted = load_sdk(target.sdk).facts.dlc_generation
    if file.graph is None and wanted == file.generation:
        raise ModelError(
            f"the content of a DLC of format {_dotted(file.format_version)} is not decoded here",
            "check the ONNX model that it was made of",
        )
    ports = tuple(_ports(file.graph)) if file.graph else ()
    if wanted != file.generation:
        return Judgement(target, (_generation(file, target),), _unusable(file), ports)
    assert file.graph is not None  # for mypy; another generation is refused above
    judgement = check_operations(_network(file, file.graph), target)
    findings = (*_on_file(file, file.graph, target), *judgement.findings)
    return replace(judgement, findings=findings, ports=ports)


def _generation(file: DlcFile, target: Target) -> Finding:
    made = f"SNPE {file.generation}.x"
    if file.converter:
        made = f"{made} (converter {file.converter})"
    reason = f"format {_dotted(file.format_version)} is that of {made}, the runtime is {target.sdk}"
    return network_finding(file.name, "AX303", reason, _MIGRATION, _ADVICE, Severity.ERROR)


def _unusable(file: DlcFile) -> tuple[NodeVerdict, ...]:
    """Every operation of a DLC that the runtime cannot load at all."""
    table = load_operation_table()
    operations = _network(file, file.graph).operations if file.graph else ()
    names = [(o.name, table.name(o.kind, o.parameters)) for o in operations]
    return tuple(NodeVerdict(n, kind, (kind,), Verdict.UNSUPPORTED) for n, kind in names)


def _on_file(file: DlcFile, graph: netd.DlcGraph, target: Target) -> Iterator[Finding]:
    """What the file as a whole is blamed for."""
    made, wanted = release(file.converter), release(target.sdk)
    if file.weights_apart and wanted and wanted <= BLIND_TO_QNNIR:
        reason = f"the weights lie in {params.PIECES}, where SNPE {target.sdk} does not look"
        source = "experiment with the DLC reader of QAIRT 2.25.0.240728, which finds them empty"
        yield network_finding(file.name, "AX304", reason, source, _ADVICE, Severity.ERROR)
    elif made and wanted and wanted < made:
        reason = f"converter {file.converter} is newer than the runtime, SNPE {target.sdk}"
        source = f"{_MIGRATION}: convert and run with the same SDK"
        yield network_finding(file.name, "AX304", reason, source, _ADVICE)
    if not graph.outputs:
        source = "snpe-onnx-to-dlc 2.25.0.240728 experiment"
        reason = "the DLC has no output at all"
        yield network_finding(file.name, "AX209", reason, source, "", Severity.ERROR)


def _network(file: DlcFile, graph: netd.DlcGraph) -> Network:
    """The graph in the terms of the whitelist."""
    absent = {tensor.name for tensor in graph.tensors if tensor.absent}
    operations = tuple(
        Operation(
            node.name,
            node.op_type,
            tuple("" if name in absent else name for name in node.inputs),
            node.outputs,
            {k: v for k, v in node.attributes.items() if not isinstance(v, netd.DlcTensor)}
            | dict(values),
        )
        for node, values in zip(graph.nodes, file.values, strict=True)
    )
    return Network(
        file.name,
        operations,
        {t.name: Tensor(t.shape, _dtype(t), t.static) for t in graph.tensors},
        tuple(tensor.name for tensor in graph.inputs),
        tuple(tensor.name for tensor in graph.outputs),
    )


def _ports(graph: netd.DlcGraph) -> Iterator[Port]:
    for direction, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        for tensor in tensors:
            yield _port(tensor, direction)


def _port(tensor: netd.DlcTensor, direction: str) -> Port:
    """As the application feeds it; without an axis format the order is that of ONNX."""
    shape, layout = tensor.shape, ""
    if tensor.axis_format in _ONNX_ORDERS and len(shape) == len(tensor.axis_format):
        shape = (shape[0], shape[-1], *shape[1:-1])
        layout = f"{_ONNX_ORDERS[tensor.axis_format]} -> {tensor.axis_format}"
    return Port(tensor.name, direction, _dtype(tensor), shape, tensor.shape, layout)


def _dtype(tensor: netd.DlcTensor) -> str:
    return _DTYPES.get(tensor.dtype, tensor.dtype)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
