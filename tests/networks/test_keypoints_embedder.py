"""The harmonic encoding; the plain embedder is covered by test_bilayer.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from avatar_export.networks.arguments import run_arguments
from avatar_export.networks.checkpoint import load_network
from avatar_export.networks.keypoints_embedder import KeypointsEmbedder
from tests.conftest import load_npz


@pytest.fixture(scope="module")
def embedder(data_folder: Path) -> KeypointsEmbedder:
    folder = data_folder / "parity_small" / "harmonic"
    network = KeypointsEmbedder(run_arguments(folder / "args.txt"))
    load_network(network, folder / "2225_keypoints_embedder.pth", "keypoints_embedder")
    return network


@pytest.fixture(scope="module")
def reference(data_folder: Path) -> dict[str, Tensor]:
    return load_npz(data_folder / "parity_small" / "harmonic" / "io.npz")


def test_every_recorded_tensor_is_reproduced(
    embedder: KeypointsEmbedder, reference: dict[str, Tensor]
) -> None:
    poses = reference["target_poses"][0]
    got = {
        "target_poses": poses[None],
        "frequencies": embedder.frequencies,
        "encoded": embedder.encode(poses),
        "target_pose_embeds": embedder(poses)[None],
    }
    assert got.keys() == reference.keys()
    for key, tensor in reference.items():
        torch.testing.assert_close(got[key], tensor, rtol=0, atol=1e-5)


def test_all_sines_come_before_all_cosines(embedder: KeypointsEmbedder) -> None:
    encoded = embedder.encode(torch.zeros(1, 136))
    assert encoded.shape == (1, 1088)
    assert torch.equal(encoded[0], torch.cat([torch.zeros(544), torch.ones(544)]))
