"""Judge a network that is already converted: operations, not ONNX nodes. Knows no file format."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import onnx

from avatar_export.whitelist.check import GRAPH_INPUT
from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.judge import Judge
from avatar_export.whitelist.judgement import Judgement
from avatar_export.whitelist.network.graph import Network
from avatar_export.whitelist.network.table import (
    FIXED,
    FLOAT,
    PrecisionRow,
    load_operation_table,
)
from avatar_export.whitelist.network.view import NetworkView, OperationView
from avatar_export.whitelist.tables import SdkTables, load_sdk
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView, UndeterminedError

NETWORK = "DLC"
"""Stands for the operator in a finding on the network as a whole."""
_NOT_SAID = "AX108"
_EXPERIMENT = "snpe-onnx-to-dlc 2.25.0.240728 experiment"


def check_operations(network: Network, target: Target) -> Judgement:
    """Judge the inputs and operations of a network by the tables of the target's SDK.

    What an ONNX operator becomes is not asked here: the conversion is done. A rule that asks for
    something the stored form does not tell gives AX110.

    Raises:
        ModelError: an operation is malformed.
        UserError: the target's SDK has no tables.
    """
    tables, table = _tables(target.sdk), load_operation_table()
    view = NetworkView(network, table)
    precision = [row for row in table.precision if target.column in row.runtimes]
    findings = list(_on_network(network, precision))
    for name in view.inputs:
        findings += _judged_input(view, name, tables, target).findings
    verdicts = []
    for node in view.operations:
        judge = _judged(node, tables, target, precision)
        findings += judge.findings
        verdicts.append(judge.verdict(node.macs))
    return Judgement(target, tuple(findings), tuple(verdicts))


@cache
def _tables(sdk: str) -> SdkTables:
    """The tables but for the converter's faults: the conversion is done."""
    full = load_sdk(sdk)
    return SdkTables(full.version, full.facts, full.operators, full.layers, full.limits)


def _judged_input(view: NetworkView, name: str, tables: SdkTables, target: Target) -> Judge:
    """A network input in the guise of a node, so that the same rules read it."""
    proto = onnx.NodeProto(op_type=GRAPH_INPUT, name=name, input=[name], output=[name])
    judge = Judge(NodeView(view, proto, 0), tables, target)
    judge.apply_limits("input", (GRAPH_INPUT,))
    return judge


def _judged(
    node: OperationView, tables: SdkTables, target: Target, precision: list[PrecisionRow]
) -> Judge:
    """Whether the runtime has the operation, and takes it in this form."""
    judge = Judge(node, tables, target)
    early = node.row.early if node.row.early in tables.layers else ""
    layer = node.operator if node.operator in tables.layers else early or node.operator
    judge.operations = (layer,)
    judge.judge_layer(layer)
    judge.apply_limits("operation", judge.operations)
    judge.report_undetermined()
    for row in precision:
        if row.tensors == FIXED and node.holds_fixed:
            judge.report(row.code, row.reason, row.source, fix=row.fix)
    empty = _empty_output(node)
    if empty:
        reason = f"{empty} has a dimension of 0"
        judge.report("AX215", reason, _EXPERIMENT, Severity.ERROR, "convert with fixed shapes")
    return judge


def _empty_output(node: OperationView) -> str:
    """Name of an output without elements; empty when there is none."""
    for name in node.outputs:
        try:
            if 0 in node.model.stored_shape(name):
                return name
        except UndeterminedError:
            continue
    return ""


def _on_network(network: Network, precision: list[PrecisionRow]) -> Iterator[Finding]:
    """What the precision of the tensors means for the network as a whole."""
    real = sum(tensor.dtype in ("f32", "f16") for tensor in network.tensors.values())
    for row in precision:
        if row.tensors == FLOAT and real:
            reason = f"{row.reason}: {real} of {len(network.tensors)} tensors are float"
            yield network_finding(network.name, row.code, reason, row.source, row.fix)


def network_finding(
    name: str,
    code: str,
    reason: str,
    source: str,
    fix: str = "",
    severity: Severity = Severity.WARNING,
) -> Finding:
    """A finding on a network as a whole; ``name`` stands where else the node does."""
    verdict = Verdict.UNSUPPORTED if severity is Severity.ERROR else Verdict.CONSTRAINED
    if code == _NOT_SAID:
        verdict = Verdict.UNKNOWN
    return Finding(code, severity, verdict, name, NETWORK, reason, source, fix)
