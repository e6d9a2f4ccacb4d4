from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from avatar_export.conversion.build import build, draft, fewest_findings, on_cpu, save
from avatar_export.conversion.convert import prepare
from avatar_export.conversion.options import Options
from avatar_export.graphs.bilayer import enhance_graph, frame_graph
from avatar_export.graphs.export import export_onnx
from avatar_export.graphs.spec import Graph, TensorSpec
from avatar_export.networks.bilayer import BilayerModel
from avatar_export.passes.goal import UpsampleForm
from avatar_export.whitelist.check import check
from avatar_export.whitelist.tables import load_sdk
from avatar_export.whitelist.targets import resolve_target
from tests.conversion.converted import Converted, photo

TARGET = resolve_target()
X = TensorSpec("x", (1, 4, 8, 8), "NCHW", 0.1, 1.0, "in")
Y = TensorSpec("y", (1, 4, 8, 8), "NCHW", None, None, "out")
W = TensorSpec("w", (4, 4, 1, 1), "OIHW", -1.0, 1.0, "weight")


class Fits(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.relu()


class NeedsCpu(nn.Module):
    """SNPE 2.5 has no Gather on the GPU."""

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(1, torch.tensor([3, 2, 1, 0]))


class FitsNowhere(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.erf(x)


class Convolves(nn.Module):
    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return nn.functional.conv2d(x, w)


class Enlarges(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(nn.functional.interpolate(x, scale_factor=2.0))
        return y


def graph(module: nn.Module, *inputs: TensorSpec) -> Graph:
    return Graph("toy", module, inputs or (X,), (Y,))


def numbers(toy: Graph) -> dict[str, np.ndarray]:
    return toy.random_inputs(1)


def test_on_cpu_changes_the_runtime_only() -> None:
    target = resolve_target("adreno540", "2.35", "gpu")
    cpu = on_cpu(target)
    assert (cpu.name, cpu.sdk, cpu.runtime, cpu.column) == ("adreno540", "2.35", "cpu", "cpu")


def test_constants_are_no_inputs_any_more() -> None:
    toy = graph(Convolves(), X, W)
    given = numbers(toy)
    built = build(toy, TARGET, given, {"w": given["w"]})
    record = built.record("toy.onnx", "a toy")
    assert [spec.name for spec in record.inputs] == ["x"]
    assert [value.name for value in built.model.graph.input] == ["x"]
    assert record.opset == load_sdk(TARGET.sdk).facts.export_opset
    assert (record.macs_before, record.macs_after) == (4 * 4 * 64, 4 * 4 * 64)
    assert record.judgement is built.judgement and built.judgement.clean
    (result,) = ReferenceEvaluator(built.model).run(None, {"x": given["x"]})
    expected = np.einsum("oi,bihw->bohw", given["w"][:, :, 0, 0], given["x"])
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("form", "macs", "operator"),
    [
        (None, 16 * 64, "ConvTranspose"),
        ("resize", 36 * 64, "Upsample"),
        ("deconv", 16 * 64, "ConvTranspose"),
        ("subpixel", 16 * 81, "DepthToSpace"),
    ],
)
def test_upsampling_takes_the_form_that_is_wanted(
    form: UpsampleForm | None, macs: int, operator: str
) -> None:
    toy = Graph("toy", Enlarges(), (X,), (replace(Y, shape=(1, 4, 16, 16)),))
    built = build(toy, TARGET, numbers(toy), upsample=form)
    record = built.record("toy.onnx", "a toy")
    assert (record.macs_before, record.macs_after) == (4 * 4 * 36 * 64, 4 * 4 * macs)
    assert operator in {node.op_type for node in built.model.graph.node}
    assert built.judgement.clean == (form != "subpixel")  # documents of 2.5 disagree on that


def test_what_the_gpu_refuses_is_judged_for_the_cpu() -> None:
    toy = graph(NeedsCpu())
    assert build(toy, TARGET, numbers(toy)).judgement.errors
    built = fewest_findings([toy], TARGET, numbers(toy))
    assert built.judgement.target == on_cpu(TARGET)
    assert not built.judgement.errors


def test_what_nothing_takes_keeps_the_verdict_of_the_target() -> None:
    toy = graph(FitsNowhere())
    built = fewest_findings([toy], TARGET, numbers(toy))
    assert built.judgement.target == TARGET
    assert built.judgement.errors


def test_the_candidate_that_needs_no_fallback_wins() -> None:
    worst, middle, best = (graph(m) for m in (FitsNowhere(), NeedsCpu(), Fits()))
    assert fewest_findings([worst, middle, best], TARGET, numbers(best)).graph is best
    assert fewest_findings([worst, middle], TARGET, numbers(best)).graph is middle


def test_the_first_candidate_wins_a_tie() -> None:
    first, second = graph(Fits()), graph(Fits())
    assert fewest_findings([first, second], TARGET, numbers(first)).graph is first


def test_enhancer_of_25_is_the_matmul_form_on_the_cpu(sample_made: Converted) -> None:
    record = sample_made.record.graph("enhance.onnx")
    assert record.title == "once a person, matmul form"
    assert record.judgement is not None
    assert record.judgement.target.runtime == "cpu"
    assert not record.judgement.errors


def test_enhancer_of_235_stays_on_the_gpu(small_made: Converted) -> None:
    record = small_made.record.graph("enhance.onnx")
    assert record.title == "once a person, matmul form"
    assert record.judgement is not None
    assert record.judgement.target.runtime == "gpu_float16"
    assert not record.judgement.errors


def test_scatter_would_need_the_cpu_of_235(parity_model: BilayerModel) -> None:
    target = resolve_target(None, "2.35", "gpu_float16")
    graph = enhance_graph(parity_model, "scatter")
    scatter = draft(graph, target, export_onnx(graph))
    assert scatter.judgement.errors
    assert not check(scatter.model, on_cpu(target)).errors


def test_gather_frame_has_no_finding_for_235(sample_runs: tuple[Path, Path]) -> None:
    job = prepare(Options(sample_runs[0], Path("nowhere"), sdk="2.35", dlc=False, **photo()))
    assert job.person is not None
    constants = job.person.frame_constants()
    inputs = {**job.person.pose(0), **constants}
    built = build(frame_graph(job.model, "gather"), job.target, inputs, constants)
    assert (job.target.sdk, job.target.runtime) == ("2.35", "gpu_float16")
    assert built.judgement.findings == ()
    assert "Gather" in {node.op_type for node in built.model.graph.node}


def test_nothing_of_this_machine_is_in_the_model() -> None:
    toy = graph(Fits())
    model = build(toy, TARGET, numbers(toy)).model
    assert model.producer_name == "avatar-export"
    assert b"/home" not in model.SerializeToString()
    assert str(Path.cwd()).encode() not in model.SerializeToString()


def test_save_refuses_what_the_checker_refuses(tmp_path: Path) -> None:
    toy = graph(Fits())
    model = build(toy, TARGET, numbers(toy)).model
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(onnx.checker.ValidationError):
        save(model, tmp_path / "toy.onnx")
    assert not (tmp_path / "toy.onnx").exists()
