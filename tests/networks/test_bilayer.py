"""Parity with the original code, on every tensor that it recorded (tests/data/README.md)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from avatar_export.networks.bilayer import Avatar, BilayerModel, Frame, GridSampler
from avatar_export.networks.blocks import AdaptiveParameter
from avatar_export.networks.identity_embedder import apply_mask
from avatar_export.networks.inference_generator import identity_grid
from avatar_export.networks.run_folder import load_model
from tests.conftest import DATA, SAMPLE, load_npz

PARITY = DATA / "parity_small"
PARITY_RUNS = (PARITY / "runs" / "parity_main", PARITY / "runs" / "parity_enhancer")
SAMPLE_RUNS = (SAMPLE / "runs" / "portrait_main", SAMPLE / "runs" / "portrait_enhancer")

# Case: run folders, inputs, reference outputs.
CASES: dict[str, tuple[tuple[Path, Path], Path, Path]] = {
    "one": (PARITY_RUNS, PARITY / "inputs.npz", PARITY / "outputs.npz"),
    "two": (PARITY_RUNS, PARITY / "inputs_b2.npz", PARITY / "outputs_b2.npz"),
    "portrait": (SAMPLE_RUNS, DATA / "portrait" / "inputs.npz", DATA / "portrait" / "outputs.npz"),
}
REFERENCE = {case: load_npz(outputs) for case, (_, _, outputs) in CASES.items()}

# First match decides. Looser where the original code itself differs between torch versions.
TOLERANCES = {
    r"enh_step|.*_logits": 1e-4,
    r"source_idt_embeds|(tex|inf)_(weight|bias)|pred_tex|.*_pose_embeds|.*uvs": 1e-5,
    r".*_(imgs|rgbs|segs)": 3e-5,
}


def tolerance(key: str) -> float:
    return next(value for pattern, value in TOLERANCES.items() if re.match(pattern, key))


def numbered(name: str, parameters: list[AdaptiveParameter]) -> dict[str, Tensor]:
    weights = {f"{name}_weight_{i:02d}": p.weight for i, p in enumerate(parameters)}
    return weights | {f"{name}_bias_{i:02d}": p.bias for i, p in enumerate(parameters)}


def stacked(frames: list[Frame], field: Callable[[Frame], Tensor]) -> Tensor:
    """One tensor of each frame, [B, ...] -> [B, frames, ...]."""
    return torch.stack([field(frame) for frame in frames], dim=1)


def frame_tensors(kind: str, frames: list[Frame]) -> dict[str, Tensor]:
    """What a frame predicts before the enhancer, under the names of the original code."""
    return {
        f"gen_inf_{kind}_delta_uvs": stacked(frames, lambda f: f.heads.delta_uv),
        f"gen_inf_{kind}_segs_logits": stacked(frames, lambda f: f.heads.mask_logit),
        f"pred_{kind}_uvs": stacked(frames, lambda f: f.uv),
        f"pred_{kind}_delta_lf_rgbs": stacked(frames, lambda f: f.low_frequency),
        f"pred_{kind}_segs": stacked(frames, lambda f: f.mask),
    }


def predict(model: BilayerModel, inputs: dict[str, Tensor], frames: int) -> dict[str, Tensor]:
    """Run everything that the original code recorded; keys are its own."""
    sources = [inputs[f"source_{kind}"] for kind in ("imgs", "stickmen", "segs")]
    embeddings = model.identity_embedder(*sources)
    avatar = model.avatar(*sources)
    source = model.frame(inputs["source_poses"][:, 0], avatar)
    assert model.texture_enhancer is not None
    *steps, last = model.texture_enhancer.unroll(
        avatar.texture, GridSampler(source.uv), source.low_frequency, sources[0][:, 0], source.mask
    )
    enhanced = Avatar(last.texture, avatar.adaptive)
    poses = inputs["target_poses"][:, :frames].unbind(1)
    plain = [model.frame(pose, avatar) for pose in poses]
    sharp = [model.frame(pose, enhanced) for pose in poses]
    return {
        **{f"source_idt_embeds_{i}": e for i, e in enumerate(embeddings)},
        **numbered("tex", model.texture_generator.prj_tex(embeddings)),
        **numbered("inf", avatar.adaptive),
        "pred_tex_hf_rgbs": avatar.texture,
        "source_pose_embeds": model.keypoints_embedder(inputs["source_poses"][:, 0]),
        "target_pose_embeds": torch.stack([model.keypoints_embedder(p) for p in poses], 1),
        **frame_tensors("source", [source]),
        **frame_tensors("target", plain),
        "pred_target_delta_hf_rgbs": stacked(plain, lambda f: f.high_frequency),
        "pred_target_imgs": stacked(plain, lambda f: f.image),
        **{f"enh_step{k}_tex_in": step.texture for k, step in enumerate(steps)},
        **{f"enh_step{k}_grad": step.gradient for k, step in enumerate(steps)},
        **{f"enh_step{k}_net_out": step.net_out for k, step in enumerate(steps)},
        "pred_enh_tex_hf_rgbs": last.texture[:, None],
        "pred_enh_target_delta_hf_rgbs": stacked(sharp, lambda f: f.high_frequency),
        "pred_enh_target_imgs": stacked(sharp, lambda f: f.image),
        "masked__pred_target_delta_lf_rgbs": stacked(
            plain, lambda f: apply_mask(f.low_frequency, f.mask)
        ),
        # Both runs mask the image without enhancement, so it is masked twice.
        "masked__pred_target_imgs": stacked(
            plain, lambda f: apply_mask(apply_mask(f.image, f.mask), f.mask)
        ),
        "masked__pred_enh_target_imgs": stacked(sharp, lambda f: f.masked_image),
    }


@pytest.fixture(scope="module")
def predictions() -> Callable[[str], dict[str, Tensor]]:
    """Case name -> predictions, each computed once."""
    done: dict[str, dict[str, Tensor]] = {}

    def of(case: str) -> dict[str, Tensor]:
        if case not in done:
            runs, inputs, _ = CASES[case]
            frames = REFERENCE[case]["pred_target_uvs"].shape[1]
            done[case] = predict(load_model(*runs), load_npz(inputs), frames)
        return done[case]

    return of


def error(got: Tensor, want: Tensor) -> float:
    """Largest difference; a texture repeated for each frame counts as that texture."""
    if got.ndim == want.ndim and got.shape[1] == 1:
        got = got.expand_as(want)
    return float((got.reshape(want.shape) - want).abs().max())


@pytest.mark.parametrize(
    ("case", "key"), [(case, key) for case, tensors in REFERENCE.items() for key in tensors]
)
def test_every_recorded_tensor_is_reproduced(
    case: str, key: str, predictions: Callable[[str], dict[str, Tensor]]
) -> None:
    assert error(predictions(case)[key], REFERENCE[case][key]) <= tolerance(key)


def test_reference_has_every_kind_of_tensor() -> None:
    """So that a reference file cut short cannot pass by holding less."""
    assert {case: len(tensors) for case, tensors in REFERENCE.items()} == {
        "one": 101,
        "two": 33,
        "portrait": 44,
    }


@pytest.mark.parametrize("item", [0, 1])
def test_each_item_of_a_batch_equals_its_own_run(
    item: int, predictions: Callable[[str], dict[str, Tensor]]
) -> None:
    runs, inputs, _ = CASES["two"]
    alone = {key: tensor[item : item + 1] for key, tensor in load_npz(inputs).items()}
    single = predict(load_model(*runs), alone, frames=2)
    for key, tensor in predictions("two").items():
        assert error(single[key], tensor[item : item + 1]) <= tolerance(key), key


def test_avatar_of_one_person_renders_a_batch_of_poses(
    parity_model: BilayerModel, parity_inputs: dict[str, Tensor]
) -> None:
    sources = [parity_inputs[f"source_{kind}"] for kind in ("imgs", "stickmen", "segs")]
    avatar = parity_model.avatar(*sources)
    together = parity_model.frame(parity_inputs["target_poses"][0], avatar).image
    assert error(together, REFERENCE["one"]["pred_target_imgs"][0]) <= 3e-5


def test_every_batch_norm_has_the_epsilon_of_the_run(sample_model: BilayerModel) -> None:
    """1e-5, the default of torch, would move the final image by 0.005."""
    norms = [m for m in sample_model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 22
    assert {norm.eps for norm in norms} == {1e-7}


def test_without_an_enhancer_the_texture_stays(parity_inputs: dict[str, Tensor]) -> None:
    model = load_model(PARITY_RUNS[0])
    sources = [parity_inputs[f"source_{kind}"] for kind in ("imgs", "stickmen", "segs")]
    avatar = model.avatar(*sources)
    frame = model.frame(parity_inputs["source_poses"][:, 0], avatar)
    assert model.enhance(avatar, sources[0][:, 0], frame) is avatar.texture


def test_enhance_equals_the_unrolled_steps(
    sample_model: BilayerModel,
    sample_inputs: dict[str, Tensor],
    predictions: Callable[[str], dict[str, Tensor]],
) -> None:
    sources = [sample_inputs[f"source_{kind}"] for kind in ("imgs", "stickmen", "segs")]
    avatar = sample_model.avatar(*sources)
    frame = sample_model.frame(sample_inputs["source_poses"][:, 0], avatar)
    enhanced = sample_model.enhance(avatar, sources[0][:, 0], frame)
    assert error(enhanced, predictions("portrait")["pred_enh_tex_hf_rgbs"]) <= 3e-5


def test_sampler_keeps_a_texture_at_the_identity_grid() -> None:
    """Pixel centres, corners not aligned: the convention the warp stands on."""
    texture = torch.rand(1, 3, 16, 16)
    sampled = GridSampler(identity_grid(16)).sample(texture)
    assert error(sampled, texture) < 1e-6


def test_sampler_gives_zero_outside() -> None:
    sampled = GridSampler(identity_grid(16) + 2.5).sample(torch.ones(1, 3, 16, 16))
    assert float(sampled.abs().max()) == 0


def test_adjoint_is_the_transpose_of_sampling() -> None:
    generator = torch.Generator().manual_seed(0)
    sampler = GridSampler(torch.rand(2, 8, 8, 2, generator=generator) * 2.4 - 1.2)
    x, y = torch.randn(2, 2, 3, 8, 8, generator=generator).unbind(0)
    left, right = (sampler.sample(x) * y).sum(), (x * sampler.adjoint(y)).sum()
    torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-5)
