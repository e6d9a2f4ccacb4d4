"""Judge a model against the documents of one SDK version, for one runtime of one chip."""

from __future__ import annotations

import onnx

from avatar_export.whitelist.context import Context, layout_of, set_context
from avatar_export.whitelist.finding import Finding
from avatar_export.whitelist.fusions import find_fusions
from avatar_export.whitelist.judge import Judge
from avatar_export.whitelist.judgement import Judgement, NodeVerdict, Port
from avatar_export.whitelist.layout import Layout, find_layouts, to_last
from avatar_export.whitelist.macs import node_macs
from avatar_export.whitelist.tables import SdkTables, load_sdk
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import ModelView, NodeView, UndeterminedError

GRAPH_INPUT = "graph input"
GRAPH_OUTPUT = "graph output"


def check(model: onnx.ModelProto, target: Target) -> Judgement:
    """Judge every graph input, node and graph output of a model.

    A node that the converter folds into a constant is judged for its translation only; of nodes
    that it merges into one operation, the last is judged for that operation. Nodes in the bodies
    of control-flow operators are judged too, though no listed SDK translates those operators.

    Raises:
        ModelError: the model cannot be analysed.
        UserError: the target's SDK has no tables.
    """
    tables = load_sdk(target.sdk)
    view = ModelView(model)
    findings, verdicts = _judge_graph(view, tables, target)
    return Judgement(target, tuple(findings), tuple(verdicts), tuple(_ports(view)))


def _judge_graph(
    view: ModelView, tables: SdkTables, target: Target, path: str = ""
) -> tuple[list[Finding], list[NodeVerdict]]:
    fusions = find_fusions(view, tables.fusions, target)
    set_context(view, Context(fusions, find_layouts(view, fusions, target)))
    ends = [] if path else _judge_ends(view, tables, target)
    findings = [finding for judge in ends for finding in judge.findings]
    verdicts = []
    for node in view.nodes:
        judge = Judge(node, tables, target, path)
        judge.judge_operator()
        judge.report_undetermined()
        findings += judge.findings
        verdicts.append(judge.verdict(node_macs(node)))
        for name, body in node.bodies():
            inner = _judge_graph(body, tables, target, f"{path}{node.name}/{name}/")
            findings += inner[0]
            verdicts += inner[1]
    return findings, verdicts


def _judge_ends(view: ModelView, tables: SdkTables, target: Target) -> list[Judge]:
    """Graph inputs, then graph outputs, in the guise of nodes, so that the same rules read them."""
    judges = []
    ends = [(GRAPH_INPUT, "input", name) for name in view.inputs]
    ends += [(GRAPH_OUTPUT, "output", value.name) for value in view.graph.output]
    for operator, kind, name in ends:
        proto = onnx.NodeProto(op_type=operator, name=name, input=[name], output=[name])
        judge = Judge(NodeView(view, proto, 0), tables, target)
        judge.apply_limits(kind, (operator,))
        judges.append(judge)
    return judges


def _ports(view: ModelView) -> list[Port]:
    outputs = [value.name for value in view.graph.output]
    return [
        *(_port(view, name, "input") for name in view.inputs),
        *(_port(view, name, "output") for name in outputs),
    ]


_ORDERS = {3: "NCF -> NFC", 4: "NCHW -> NHWC", 5: "NCDHW -> NDHWC"}


def _port(view: ModelView, name: str, direction: str) -> Port:
    shape = view.dim_names(name) or ()
    moved = layout_of(view, name) is Layout.LAST and len(shape) in _ORDERS
    try:
        dtype = view.dtype(name)
    except UndeterminedError:
        dtype = ""
    stored, layout = (to_last(shape), _ORDERS[len(shape)]) if moved else (shape, "")
    return Port(name, direction, dtype, shape, stored, layout)
