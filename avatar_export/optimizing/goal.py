"""What equal forms are weighed by: their price on a machine, and what the SDK's tables say."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from avatar_export.bench.estimate.machine import machine_for
from avatar_export.bench.estimate.price import total
from avatar_export.optimizing.fragment import fragment
from avatar_export.optimizing.options import ONNXRUNTIME
from avatar_export.passes.goal import Goal, Nodes, UpsampleForm
from avatar_export.passes.lower_opset import LowerOpset
from avatar_export.passes.works import works
from avatar_export.whitelist.check import GRAPH_INPUT, GRAPH_OUTPUT, check
from avatar_export.whitelist.finding import Finding
from avatar_export.whitelist.tables import load_sdk
from avatar_export.whitelist.target import Target

# The ends of a fragment are none of the model's; and every other node may hold the model at a
# newer operator set as well.
_ENDS = (GRAPH_INPUT, GRAPH_OUTPUT)
_NEWER_SET = "AX102"


def goal_for(target: Target | None, upsample: UpsampleForm | None = None) -> Goal:
    """What the passes are to aim at.

    Args:
        target: a chip with the SDK whose tables refuse; None is ONNX Runtime on this machine, which
            refuses nothing.
        upsample: the form to take whatever it costs.
    """
    machine = machine_for(ONNXRUNTIME if target is None else target.name)

    def price(nodes: Nodes) -> float:
        return total(machine, works(nodes))

    if target is None:
        return Goal(ONNXRUNTIME, price, upsample=upsample)
    return Goal(target.name, price, _Refusals(target), upsample)


def basis(target: Target | None) -> str:
    """Where the estimates of a goal come from, and how far to trust them."""
    machine = machine_for(ONNXRUNTIME if target is None else target.name)
    if target is None or (target.column == "gpu" and not machine.borrowed):
        return machine.about
    return f"no numbers for {target.name} {target.runtime}; those of another: {machine.about}"


class _Refusals:
    """Asks the tables of an SDK about nodes; remembers the answers."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.opset = load_sdk(target.sdk).facts.export_opset
        self._known: dict[bytes, dict[tuple[str, str], Finding]] = {}

    def __call__(self, old: Nodes, new: Nodes) -> str:
        """The first finding on the new nodes that has no like among the old; empty without one.

        The nodes are judged in the operator set that the model will be lowered to.
        """
        graph = old[0].graph
        opset = None if graph is None else graph.opset_imports.get("")
        assert opset is not None  # old nodes stand in the graph, and are of the default domain
        before, after = (self._findings(fragment(nodes, opset)) for nodes in (old, new))
        added = (finding for kind, finding in after.items() if kind not in before)
        return next((f"{f.code} {f.operator}: {f.reason}" for f in added), "")

    def _findings(self, model: onnx.ModelProto) -> dict[tuple[str, str], Finding]:
        """The first finding of each code and operator."""
        key = model.SerializeToString(deterministic=True)
        if key not in self._known:
            found: dict[tuple[str, str], Finding] = {}
            for finding in check(_lowered(model, self.opset), self.target).findings:
                if finding.operator not in _ENDS and finding.code != _NEWER_SET:
                    found.setdefault((finding.code, finding.operator), finding)
            self._known[key] = found
        return self._known[key]


def _lowered(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    rewritten = ir.from_proto(model)
    LowerOpset(opset).apply(rewritten)
    return ir.to_proto(rewritten)
