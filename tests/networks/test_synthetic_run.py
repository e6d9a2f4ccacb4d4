"""benchmarks/synthetic_run.py: an untrained run that reads like a trained one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from avatar_export.networks.bilayer import BilayerModel
from avatar_export.networks.run_folder import load_model
from benchmarks.synthetic_run import write_run

LEGACY_PICKLE = b"\x80\x02\x8a\x0a"


def write_small(folder: Path, **options: int | bool) -> tuple[Path, Path | None]:
    return write_run(
        folder,
        image_size=64,
        inf=(4, 16),
        emb=(8, 32),
        tex=(8, 32),
        enh=(8, 16),
        enh_blocks=2,
        pose_width=32,
        **options,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path | None]:
    return write_small(tmp_path_factory.mktemp("synthetic"))


@pytest.fixture(scope="module")
def model(runs: tuple[Path, Path | None]) -> BilayerModel:
    return load_model(*runs)


def render(model: BilayerModel, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Texture, enhanced texture, image and heads of a random person and pose."""
    generator = torch.Generator().manual_seed(1)
    frames = torch.rand(2, 1, 1, 3, 64, 64, generator=generator) * 2 - 1
    image, stickman = frames.to(dtype)
    pose = (torch.rand(1, 136, generator=generator) * 2 - 1).to(dtype)
    avatar = model.avatar(image, stickman, torch.ones(1, 1, 1, 64, 64, dtype=dtype))
    frame = model.frame(pose, avatar)
    enhanced = model.enhance(avatar, image[:, 0], frame)
    return [avatar.texture, enhanced, frame.image, frame.heads.delta_uv, frame.heads.mask_logit]


def test_checkpoints_are_in_the_official_form(runs: tuple[Path, Path | None]) -> None:
    path = runs[0] / "checkpoints" / "1_keypoints_embedder.pth"
    assert path.read_bytes().startswith(LEGACY_PICKLE)
    state = torch.load(path, weights_only=True)
    layer = {key.removeprefix("net.mlp.0.") for key in state if key.startswith("net.mlp.0.")}
    assert layer == {"bias", "weight_orig", "weight_u", "weight_v"}


def test_same_key_names_as_a_trained_run(
    runs: tuple[Path, Path | None], parity_runs: tuple[Path, Path]
) -> None:
    trained = parity_runs[0] / "checkpoints"
    for path in trained.iterdir():
        ours = runs[0] / "checkpoints" / path.name.replace("2225_", "1_")
        shapes = [
            {key: tensor.shape for key, tensor in torch.load(file, weights_only=True).items()}
            for file in (ours, path)
        ]
        assert shapes[0] == shapes[1], path.name


def test_outputs_are_alive_and_not_saturated(model: BilayerModel) -> None:
    for tensor in render(model):
        assert torch.isfinite(tensor).all()
        assert float(tensor.std()) > 0.005
        assert float(tensor.abs().max()) < 3


def test_every_activation_fits_half_precision(model: BilayerModel) -> None:
    largest: list[float] = []
    handles = [
        module.register_forward_hook(lambda m, i, output: largest.append(float(output.abs().max())))
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d | nn.Upsample)
    ]
    render(model)
    for handle in handles:
        handle.remove()
    assert len(largest) > 100
    assert max(largest) < 100


def test_seed_decides_the_weights(model: BilayerModel, tmp_path: Path) -> None:
    same, _ = write_small(tmp_path / "same", enhancer=False)
    other, enhancer = write_small(tmp_path / "other", enhancer=False, seed=1)
    assert enhancer is None
    key = "inference_generator.gen_inf.blocks.0.block.1.weight"
    weight = model.state_dict()[key]
    assert torch.equal(load_model(same).state_dict()[key], weight)
    assert not torch.equal(load_model(other).state_dict()[key], weight)
