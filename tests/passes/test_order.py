from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from avatar_export.graphs.bilayer import frame_graph, graph_parameters
from avatar_export.graphs.export import export_onnx
from avatar_export.networks.bilayer import Avatar, BilayerModel
from avatar_export.passes.goal import FEWEST_MACS
from avatar_export.passes.order import bake_order, draft_order, optimize_order
from avatar_export.passes.pipeline import PassRecord, run_pipeline
from avatar_export.precision.runner import run_onnx
from tests.passes.models import operators, stamps

OPSET = 9
ONCE_PER_PERSON = ("source_imgs", "source_stickmen", "source_segs")
# All that is left of the network: no Mul of an adaptive norm, no shape arithmetic, and no norm but
# that of the mask, whose sigmoid is a tanh.
LEFT = {
    *("Gemm", "Reshape", "LeakyRelu", "Conv", "ConvTranspose", "Upsample", "Add"),
    *("Tanh", "Split", "BatchNormalization"),
}


@pytest.fixture(scope="module")
def avatar(sample_model: BilayerModel, sample_inputs: dict[str, Tensor]) -> Avatar:
    with torch.no_grad():
        return sample_model.avatar(*(sample_inputs[name] for name in ONCE_PER_PERSON))


@pytest.fixture(scope="module")
def constants(avatar: Avatar) -> dict[str, np.ndarray]:
    """The adaptive parameters of the portrait, as the frame graph names them."""
    tensors = [x.numpy() for x in graph_parameters(avatar.adaptive)]
    kinds = ("weight", "bias")
    return {f"inf_{kinds[k % 2]}_{k // 2:02d}": x for k, x in enumerate(tensors)}


@pytest.fixture(scope="module")
def poses(sample_inputs: dict[str, Tensor]) -> np.ndarray:
    return sample_inputs["target_poses"][0].numpy()


@pytest.fixture(scope="module")
def exported(sample_model: BilayerModel) -> onnx.ModelProto:
    return export_onnx(frame_graph(sample_model, "external"))


@pytest.fixture(scope="module")
def baked(
    exported: onnx.ModelProto, constants: dict[str, np.ndarray], poses: np.ndarray
) -> tuple[onnx.ModelProto, list[PassRecord]]:
    inputs = {"pose": poses[:1], **constants}
    runs = [{"pose": pose[None]} for pose in poses]
    order = bake_order(constants, optimize_order(OPSET, runs=runs))
    return run_pipeline(exported, order, inputs)


def test_every_step_says_why_it_stands_there() -> None:
    order = optimize_order(OPSET)
    assert all(step.why and "\n" not in step.why for step in order)
    assert all(step.rewrite.name for step in order)


def test_the_order_of_an_exported_graph() -> None:
    names = [step.rewrite.name for step in optimize_order(OPSET)]
    assert names.index("fold-adaptive") < names.index("fold-batch-norm")
    assert names.index("onnxsim") < names.index("lift-constants") < names.index("fold-adaptive")
    assert names[-1] == "lower-opset"


def test_a_set_that_is_to_be_kept_is_not_lowered() -> None:
    names = [step.rewrite.name for step in optimize_order(None)]
    assert "lower-opset" not in names
    assert [*names, "lower-opset"] == [step.rewrite.name for step in optimize_order(OPSET)]


def test_a_draft_is_folded_and_lowered_only() -> None:
    names = [step.rewrite.name for step in draft_order(OPSET)]
    assert names == ["onnxsim", "lift-constants", "fold-adaptive", "fold-batch-norm", "lower-opset"]


def test_streams_are_scaled_where_there_are_runs_to_measure() -> None:
    names = [step.rewrite.name for step in optimize_order(OPSET, runs=[{}])]
    assert names.index("gather-pixels") < names.index("scale-streams") < names.index("lower-opset")
    assert "scale-streams" not in [step.rewrite.name for step in optimize_order(OPSET)]


def test_onnxsim_comes_again_and_may_not_undo_anything() -> None:
    first, second = (s for s in optimize_order(OPSET) if s.rewrite.name == "onnxsim")
    assert not first.guarded
    assert second.guarded


def test_what_is_to_save_is_guarded_unless_the_user_wants_it() -> None:
    guarded = {s.rewrite.name for s in optimize_order(OPSET) if s.guarded}
    assert {"upsample-conv", "merge-siblings", "absorb-affine"} <= guarded
    wanting = optimize_order(OPSET, replace(FEWEST_MACS, upsample="deconv"))
    assert guarded - {s.rewrite.name for s in wanting if s.guarded} == {"upsample-conv"}


def test_baking_binds_first_and_then_goes_the_same_way() -> None:
    order = optimize_order(OPSET)
    first, *others = bake_order({}, order)
    assert first.rewrite.name == "bind-inputs"
    assert others == order


def test_the_baked_portrait_is_a_plain_network(
    baked: tuple[onnx.ModelProto, list[PassRecord]],
) -> None:
    model, _ = baked
    onnx.checker.check_model(model, full_check=True)
    assert set(operators(model)) == LEFT
    assert {x.domain: x.version for x in model.opset_import} == {"": OPSET}
    assert [v.name for v in model.graph.input] == ["pose"]
    assert [v.name for v in model.graph.output] == ["delta_uv", "rgb", "mask"]


def test_the_baked_portrait_is_what_pytorch_computes(
    baked: tuple[onnx.ModelProto, list[PassRecord]],
    sample_model: BilayerModel,
    avatar: Avatar,
    poses: np.ndarray,
) -> None:
    for pose in poses:
        found = run_onnx(baked[0], {"pose": pose[None]})
        with torch.no_grad():
            heads = sample_model.heads(torch.from_numpy(pose[None]), avatar.adaptive)
        expected = {"delta_uv": heads.delta_uv, "rgb": heads.rgb}
        expected["mask"] = torch.sigmoid(heads.mask_logit)
        assert list(found) == list(expected)
        for name, tensor in expected.items():
            np.testing.assert_allclose(found[name], tensor.numpy(), rtol=0, atol=1e-4)


def test_records_of_the_baked_portrait(baked: tuple[onnx.ModelProto, list[PassRecord]]) -> None:
    model, records = baked
    assert [r.name for r in records[:2]] == ["bind-inputs", "onnxsim"]
    assert records[-1].name == "lower-opset"
    assert records[-1].nodes_after == len(model.graph.node)
    for before, after in pairwise(records):
        assert after.nodes_before == before.nodes_after
    by_name = {record.name: record for record in records}
    # A multiplication and an addition of each of the ten adaptive norms.
    assert len(by_name["fold-adaptive"].changes) == 20
    stamped = set(",".join(stamps(model).values()).split(","))
    assert {"fold-adaptive", "absorb-affine", "upsample-conv", "merge-siblings"} <= stamped


def generator_macs(model: BilayerModel, upsampled: int, skip: int) -> int:
    """Multiply-adds of the frame graph; norms are not counted.

    Args:
        upsampled: taps for each small pixel, of a convolution that reads it four times.
        skip: how often the 1x1 convolution beside it meets a small pixel.
    """
    args = model.args
    widths = [min(args.inf_max_channels, args.inf_num_channels * 2**k) for k in (5, 4, 3, 2, 1, 0)]
    hidden, first = args.pse_num_channels, widths[0] * 4 * 4
    layers = [136 * hidden, hidden * hidden, hidden * hidden, hidden * first]
    for k, (a, b) in enumerate(pairwise(widths)):
        pixels = (4 * 2**k) ** 2
        layers += [a * b * 9 * pixels, b * b * upsampled * pixels, a * b * skip * pixels]
    layers.append(widths[-1] * (2 + 3 + 1) * 9 * args.image_size**2)
    return sum(layers)


def test_multiply_adds_of_the_baked_portrait(
    baked: tuple[onnx.ModelProto, list[PassRecord]], sample_model: BilayerModel
) -> None:
    by_name = {record.name: record for record in baked[1]}
    exported = generator_macs(sample_model, 36, 4)
    moved = generator_macs(sample_model, 36, 1)
    after = generator_macs(sample_model, 16, 1)
    assert by_name["fold-batch-norm"].macs_after == exported
    assert by_name["pointwise-before-upsample"].macs_after == moved
    assert by_name["upsample-conv"].macs_before == moved
    assert by_name["upsample-conv"].macs_after == after
    assert baked[1][-1].macs_after == after
    # From the first shapes on, no other pass changes a count.
    saving = {record.name for record in baked[1][2:] if record.macs_after != record.macs_before}
    assert saving == {"pointwise-before-upsample", "upsample-conv"}


@pytest.mark.parametrize("opset", [9, 16])
def test_the_generic_portrait_keeps_its_inputs(
    opset: int,
    exported: onnx.ModelProto,
    constants: dict[str, np.ndarray],
    poses: np.ndarray,
) -> None:
    inputs = {"pose": poses[:1], **constants}
    model, _ = run_pipeline(exported, optimize_order(opset), inputs)
    onnx.checker.check_model(model, full_check=True)
    assert [v.name for v in model.graph.input] == list(inputs)
    assert model.opset_import[0].version == opset
    expected, found = run_onnx(exported, inputs), run_onnx(model, inputs)
    for name, reference in expected.items():
        np.testing.assert_allclose(found[name], reference, rtol=0, atol=1e-4)
