"""What each pass does to a full-size graph: sites, nodes, multiply-adds, estimated time, parity.

The baked frame graph, which runs thirty times a second, or with ``--graph avatar`` the one that
runs once a person. Weights are random and the published widths are used. The first line is the
plain graph, as torch.onnx.export and onnxsim leave it.

    python -m benchmarks.pass_costs                   # 15 s; updates results/pass_costs.json
    python -m benchmarks.pass_costs --graph avatar    # 2 minutes

The exit code is 1 when the frame graph misses what it must reach: 2.51 GMAC, no more nodes than
the plain graph, outputs within 1e-5, no finding for SNPE 2.5 and no error for 1.43 in GPU_FLOAT16.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import onnx
import onnx_ir as ir
import onnxsim

from avatar_export.conversion.build import Built, build
from avatar_export.conversion.person import stand_in
from avatar_export.graphs.bilayer import avatar_graph
from avatar_export.graphs.export import export_onnx
from avatar_export.networks.bilayer import BilayerModel
from avatar_export.optimizing.goal import goal_for
from avatar_export.passes.macs import count_macs
from avatar_export.passes.pipeline import PassRecord, infer_shapes
from avatar_export.whitelist.check import check
from avatar_export.whitelist.judgement import Judgement
from avatar_export.whitelist.targets import resolve_target
from benchmarks.baked_frame import baked_frame, full_size_model

RESULT = Path(__file__).parent / "results" / "pass_costs.json"
_MOST_GMAC = 2.51
_MOST_DIFFERENCE = 1e-5
_SDKS = ("2.5", "1.43")


@dataclass(frozen=True)
class Line:
    """One line of the table: a graph, after a pass or before all."""

    name: str
    sites: int
    nodes: int
    macs: int
    seconds: float | None
    worst: float
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: PassRecord) -> Line:
        """After a pass."""
        return cls(
            record.name,
            len(record.changes),
            record.nodes_after,
            record.macs_after,
            record.seconds_after,
            record.worst,
            record.notes,
        )

    def __str__(self) -> str:
        estimate = "" if self.seconds is None else f"{1e3 * self.seconds:.2f}"
        cells = [self.name, str(self.sites or ""), str(self.nodes), f"{self.macs / 1e9:.3f}"]
        cells += [estimate, f"{self.worst:.1e}" if self.worst else ""]
        return f"| {' | '.join(cells)} |"


def plain_line(model: onnx.ModelProto) -> Line:
    """The graph as torch.onnx.export and onnxsim leave it."""
    graph = ir.from_proto(model)
    infer_shapes(graph)
    price = goal_for(resolve_target()).price(list(graph.graph))
    return Line("plain export", 0, graph.graph.num_nodes(), count_macs(graph), price, 0.0)


def frame(model: BilayerModel) -> tuple[onnx.ModelProto, Built]:
    """The baked frame graph: plain, and built for the default target."""
    baked = baked_frame(model)
    with tempfile.TemporaryDirectory() as folder:
        plain = baked.plain(Path(folder) / "plain.onnx")
    return plain, baked.ours(resolve_target())


def avatar(model: BilayerModel) -> tuple[onnx.ModelProto, Built]:
    """The avatar graph: plain, and built for the default target."""
    graph = avatar_graph(model)
    given = stand_in(model).avatar_inputs()
    inputs = {spec.name: given[spec.name] for spec in graph.inputs}
    exported = export_onnx(graph)
    plain, _ = onnxsim.simplify(exported)
    return plain, build(graph, resolve_target(), inputs, exported=exported)


def verdicts(model: onnx.ModelProto) -> list[Judgement]:
    """What the documents of both SDKs say of a model in GPU_FLOAT16."""
    targets = [resolve_target(sdk=sdk, runtime="gpu_float16") for sdk in _SDKS]
    return [check(model, target) for target in targets]


def table(lines: Sequence[Line]) -> str:
    """Markdown."""
    head = ["pass", "sites", "nodes", "GMAC", "estimated ms", "difference"]
    rows = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *map(str, lines)]
    return "\n".join(rows)


def misses(lines: Sequence[Line], judged: Sequence[Judgement]) -> list[str]:
    """What the frame graph should have reached and did not, in words."""
    plain, last = lines[0], lines[-1]
    worst = max(line.worst for line in lines)
    newer, older = judged
    found = {
        f"{last.macs / 1e9:.3f} GMAC, more than {_MOST_GMAC}": last.macs > _MOST_GMAC * 1e9,
        f"{last.nodes} nodes, more than {plain.nodes}": last.nodes > plain.nodes,
        f"outputs differ by {worst:.1e}": worst > _MOST_DIFFERENCE,
        f"SNPE {newer.target.sdk}: {len(newer.findings)} findings": not newer.clean,
        f"SNPE {older.target.sdk}: {len(older.errors)} errors": bool(older.errors),
    }
    return [words for words, true in found.items() if true]


def write_record(name: str, lines: Sequence[Line], judged: Sequence[Judgement]) -> None:
    """Put the table of one graph into the file, beside that of the other."""
    known: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    known[name] = {
        "target": resolve_target().name,
        "passes": [vars(line) for line in lines],
        "verdicts": {
            f"SNPE {j.target.sdk} {j.target.runtime}": {
                "errors": len(j.errors),
                "findings": len(j.findings),
            }
            for j in judged
        },
    }
    RESULT.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


@click.command()
@click.option("--graph", default="frame", type=click.Choice(["frame", "avatar"]))
def main(graph: str) -> None:
    """Build the graph, print the table, and record it."""
    with tempfile.TemporaryDirectory() as folder:
        model = full_size_model(Path(folder))
    plain, built = (frame if graph == "frame" else avatar)(model)
    lines = [plain_line(plain), *map(Line.of, built.passes)]
    judged = verdicts(built.model)
    click.echo(table(lines))
    for judgement in judged:
        errors, findings = len(judgement.errors), len(judgement.findings)
        where = f"SNPE {judgement.target.sdk} {judgement.target.runtime}"
        click.echo(f"{where}: {errors} errors, {findings} findings")
    write_record(graph, lines, judged)
    if graph == "frame" and (missed := misses(lines, judged)):
        click.echo("missed: " + "; ".join(missed), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
