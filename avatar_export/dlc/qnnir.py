"""Write a DLC with the libQnnIr.so of onnxruntime-qnn, and prove that nothing was left out.

Known of onnxruntime-qnn 2.7.0 (QNN 2.51), by experiment: it takes ONNX opsets from 7 on as they
are, Upsample-9 and BatchNormalization-9 with epsilon 0 included (folded to scale / sqrt(variance));
it writes one file per subgraph and no word when nodes stay outside. So the trace of its decisions
is read and compared with the model and with the graph in the file.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar_export.dlc import container, interface, netd
from avatar_export.dlc.process import Outcome, run_tool
from avatar_export.dlc.qnn_package import DISTRIBUTION, child_environment, find_library
from avatar_export.dlc.record import DlcWriter
from avatar_export.errors import ModelError

if TYPE_CHECKING:
    import onnx

LIBRARY = "libQnnIr.so"
TIMEOUT = 1800.0
"""Seconds; a frame generator of 3 million parameters takes about one."""

_CHILD = (sys.executable, "-m", "avatar_export.dlc.qnnir_child")
_TRACE = "qnn_op_trace.json"
_TRACE_SCHEMA = 2
_REFUSALS_SHOWN = 8
_RENAMED = re.compile(r"_token_\d+$")
"""Suffix that the layout pass of ONNX Runtime gives to the nodes it moves."""
_MAY_VANISH = ("Constant", "Transpose", "QuantizeLinear", "DequantizeLinear")
"""Constants become initializers on loading; the layout pass cancels Transposes against its own,
and replaces the quantisation nodes that it moves."""
_BOILERPLATE = re.compile(r"(?<=\.)\s*\w+ node `[^`]*` will not be assigned to QNN EP\.?$")
_OLDEST_OPSET = 7
_HINT = "set SNPE_ROOT to use an SDK's converter, or leave DLC files out with --no-dlc"


@dataclass(frozen=True)
class Refusal:
    """A node that QNN does not take, and why in its own words."""

    node: str
    op_type: str
    reason: str

    def __str__(self) -> str:
        return f"{self.node!r} ({self.op_type}): {self.reason}"


def find() -> DlcWriter | None:
    """The installed libQnnIr.so, or None."""
    from importlib import metadata

    library = find_library(LIBRARY)
    if library is None:
        return None
    version = metadata.version(DISTRIBUTION)
    return DlcWriter("qnnir", version, library.parent, f"{LIBRARY} of {DISTRIBUTION}")


def convert(onnx_path: Path, work: Path, *, timeout: float = TIMEOUT) -> bytes:
    """The bytes of the one DLC that holds every node of a model, as libQnnIr wrote them.

    Args:
        onnx_path: any ONNX model with fixed shapes; external weights are followed.
        work: an empty folder for intermediate files.
        timeout: seconds for the child process.

    Raises:
        UserError: the model cannot be read.
        ModelError: QNN refuses nodes (the first eight are named, with its reasons), or crashed,
            hung, split the graph, or lost a node.
    """
    model = interface.load_onnx(onnx_path, weights=True)
    interface.name_nodes(model)
    _refuse_old_opset(model)
    _refuse_changed_resize(model)
    path = work / "model.onnx"
    path.write_bytes(_serialised(model, onnx_path))
    outcome = _run_child(path, work, timeout)
    trace = _read_trace(work / _TRACE)
    _refuse_partial(trace, outcome, model)
    files = sorted(work.glob("*.dlc"))
    if len(files) != 1:
        raise ModelError(f"{LIBRARY} wrote {len(files)} DLC files for {onnx_path} instead of one")
    data = files[0].read_bytes()
    _refuse_lost_nodes(model, trace, netd.read_graph(container.read_members(data)[container.MODEL]))
    return data


def _serialised(model: onnx.ModelProto, path: Path) -> bytes:
    from google.protobuf.message import EncodeError  # type: ignore[import-untyped]

    try:
        return bytes(model.SerializeToString())
    except (EncodeError, ValueError) as error:
        raise ModelError(f"{path} is over 2 GiB with its weights: {error}") from error


def _run_child(model: Path, work: Path, timeout: float) -> Outcome:
    command = (*_CHILD, str(model), str(work))
    return run_tool(command, folder=work, environ=child_environment(), timeout=timeout)


def _read_trace(path: Path) -> dict[str, Any]:
    """The decisions of the execution provider; empty when it died before it wrote them."""
    try:
        trace = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return trace if isinstance(trace, dict) else {}


def _refuse_partial(trace: dict[str, Any], outcome: Outcome, model: onnx.ModelProto) -> None:
    """Stop unless the child ended well and QNN took the whole model as one graph."""
    refusals = [
        Refusal(entry["node_name"], entry["op_type"], _BOILERPLATE.sub("", entry["reason"]))
        for entry in trace.get("unsupported_nodes", ())
    ]
    if refusals:
        shown = "; ".join(map(str, refusals[:_REFUSALS_SHOWN]))
        more = len(refusals) - _REFUSALS_SHOWN
        shown += f"; and {more} more" if more > 0 else ""
        raise ModelError(
            f"{LIBRARY} refuses {len(refusals)} of {len(model.graph.node)} nodes: {shown}", _HINT
        )
    if outcome.status != 0:
        raise ModelError(f"{LIBRARY} {outcome.ending}{_last_line(outcome)}", _HINT)
    if trace.get("schema_version", _TRACE_SCHEMA) != _TRACE_SCHEMA:
        raise ModelError(f"{_TRACE} has schema {trace['schema_version']}, not {_TRACE_SCHEMA}")
    summary = trace.get("summary", {})
    if summary.get("unsupported_nodes") != 0 or summary.get("qnn_subgraphs") != 1:
        raise ModelError(
            f"{LIBRARY} did not take the model as one graph: {json.dumps(summary)}", _HINT
        )


def _last_line(outcome: Outcome) -> str:
    lines = [line.strip() for line in outcome.output.splitlines() if line.strip()]
    return f": {lines[-1][:400]}" if lines else ""


def _refuse_lost_nodes(model: onnx.ModelProto, trace: dict[str, Any], graph: netd.DlcGraph) -> None:
    """Stop unless every ONNX node became operations, and these are in the file."""
    mappings = [m for sub in trace["subgraph_traces"] for m in sub["op_mappings"]]
    sources = {source["name"] for mapping in mappings for source in mapping["sources"]}
    sources |= {_RENAMED.sub("", name) for name in sources}
    lost = [
        n.name for n in model.graph.node if n.op_type not in _MAY_VANISH and n.name not in sources
    ]
    written = {node.name for node in graph.nodes}
    lost += [m["dst_name"] for m in mappings if m["dst_name"] not in written]
    if lost:
        names = ", ".join(map(repr, lost[:_REFUSALS_SHOWN]))
        raise ModelError(f"{LIBRARY} left {len(lost)} nodes out of the DLC: {names}", _HINT)


def _opset(model: onnx.ModelProto) -> int:
    return next((e.version for e in model.opset_import if e.domain in ("", "ai.onnx")), 1)


def _refuse_old_opset(model: onnx.ModelProto) -> None:
    if _opset(model) < _OLDEST_OPSET:
        raise ModelError(
            f"the model is of opset {_opset(model)}; ONNX Runtime, which hands it to {LIBRARY},"
            f" begins at {_OLDEST_OPSET}",
            "raise its opset",
        )


def _refuse_changed_resize(model: onnx.ModelProto) -> None:
    """Stop at a resize of opset 10 or older that would be stored as another function.

    Both operators read from x / scale there. onnxruntime-qnn 2.7.0 stores them with half-pixel
    centres instead, all but the linear Upsample. For nearest (floor, stored as round-prefer-floor)
    that is the same where the scale is whole; at 1.6, for one, output 3 would come from input 2
    instead of 1. From opset 11 on the rule is written in the node and stored as it is.
    """
    opset = _opset(model)
    if opset > 10:
        return
    for node in model.graph.node:
        mode = next((a.s.decode() for a in node.attribute if a.name == "mode"), "nearest")
        changed = node.op_type == "Resize" and mode == "linear"
        if node.op_type in ("Upsample", "Resize") and mode == "nearest":
            changed = any(scale != int(scale) for scale in _scales(model, node))
        if changed:
            raise ModelError(
                f"{LIBRARY} would store {node.name!r} ({node.op_type}-{opset} {mode}) with"
                " half-pixel centres, which is another function",
                "export with opset 11 or newer",
            )


def _scales(model: onnx.ModelProto, node: onnx.NodeProto) -> Iterator[float]:
    """The constant scales of an Upsample or Resize-10, from its attribute or second input."""
    from onnx import numpy_helper

    for attribute in node.attribute:
        if attribute.name == "scales":
            yield from attribute.floats
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    constants |= {
        other.output[0]: other.attribute[0].t
        for other in model.graph.node
        if other.op_type == "Constant"
    }
    if len(node.input) > 1 and node.input[1] in constants:
        yield from numpy_helper.to_array(constants[node.input[1]]).tolist()
