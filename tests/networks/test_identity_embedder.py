"""Several source frames, and what the embedder does with masks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avatar_export.networks.arguments import RunArguments, run_arguments
from avatar_export.networks.checkpoint import load_network
from avatar_export.networks.identity_embedder import IdentityEmbedder, apply_mask


@pytest.fixture
def args(parity_runs: tuple[Path, Path]) -> RunArguments:
    return run_arguments(parity_runs[0] / "args.txt")


@pytest.fixture
def frames() -> tuple[Tensor, Tensor, Tensor]:
    """Two source frames: images, stickmen, masks."""
    generator = torch.Generator().manual_seed(0)
    images, stickmen = (torch.rand(2, 1, 2, 3, 64, 64, generator=generator) * 2 - 1).unbind(0)
    return images, stickmen, torch.rand(1, 2, 1, 64, 64, generator=generator)


def embedder(args: RunArguments, parity_runs: tuple[Path, Path]) -> IdentityEmbedder:
    network = IdentityEmbedder(args)
    path = parity_runs[0] / "checkpoints" / "2225_identity_embedder.pth"
    load_network(network, path, "identity_embedder")
    return network


def embed_alone(
    network: IdentityEmbedder, frames: tuple[Tensor, Tensor, Tensor]
) -> list[list[Tensor]]:
    return [network(*(tensor[:, i : i + 1] for tensor in frames)) for i in range(2)]


def test_embeddings_are_averaged_when_the_run_saw_another_number_of_frames(
    args: RunArguments, parity_runs: tuple[Path, Path], frames: tuple[Tensor, Tensor, Tensor]
) -> None:
    network = embedder(args, parity_runs)
    for both, one, two in zip(network(*frames), *embed_alone(network, frames), strict=True):
        torch.testing.assert_close(both, (one + two) / 2, rtol=0, atol=1e-5)


def test_features_are_averaged_when_the_run_saw_as_many_frames(
    args: RunArguments, parity_runs: tuple[Path, Path], frames: tuple[Tensor, Tensor, Tensor]
) -> None:
    network = embedder(dataclasses.replace(args, num_source_frames=2), parity_runs)
    seen: list[Tensor] = []
    network.net.dec_blocks[0].block_feats.register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[0])
    )
    network(*frames)
    embed_alone(embedder(args, parity_runs), frames)
    encode = network.net.enc
    alone = [
        encode(torch.cat([apply_mask(image, mask), stickman], dim=1))
        for image, stickman, mask in zip(*(tensor.unbind(1) for tensor in frames), strict=True)
    ]
    torch.testing.assert_close(seen[0], (alone[0] + alone[1]) / 2, rtol=0, atol=1e-5)


@pytest.mark.parametrize("applied", [True, False])
def test_masks_are_applied_only_if_the_run_says_so(
    applied: bool,
    args: RunArguments,
    parity_runs: tuple[Path, Path],
    frames: tuple[Tensor, Tensor, Tensor],
) -> None:
    network = embedder(dataclasses.replace(args, emb_apply_masks=applied), parity_runs)
    images, stickmen, masks = frames
    with_mask = network(images, stickmen, masks)
    without = network(images, stickmen, torch.ones_like(masks))
    assert torch.equal(with_mask[-1], without[-1]) is not applied


def test_masked_pixels_are_black() -> None:
    image = torch.tensor([0.5, 0.5, 0.5])
    masked = apply_mask(image, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(masked, torch.tensor([-1.0, -0.25, 0.5]))
