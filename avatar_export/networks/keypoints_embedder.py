"""Keypoints embedder: a pose -> the small tensor that starts the inference generator."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from avatar_export.networks.arguments import RunArguments
from avatar_export.networks.blocks import LEAKY_SLOPE


class _Mlp(nn.Module):
    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.LeakyReLU(LEAKY_SLOPE)]
        self.mlp = nn.Sequential(*layers[:-1])


class KeypointsEmbedder(nn.Module):
    """Key points [B, 136] (x0, y0, x1, y1, ... in [-1, 1]) -> [B, C, 4, 4]."""

    frequencies: Tensor

    def __init__(self, args: RunArguments) -> None:
        super().__init__()
        self.out_shape = (args.inf_max_channels, *(2 * [args.inf_input_tensor_size]))
        self.harmonic = args.pse_use_harmonic_enc
        inputs = args.pse_in_channels
        if self.harmonic:
            inputs *= 2 * args.pse_num_harmonics
            powers = 2.0 ** torch.arange(args.pse_num_harmonics)
            self.register_buffer("frequencies", powers.reshape(1, 1, -1) * math.pi)
        hidden = [args.pse_num_channels] * (args.pse_num_blocks - 1)
        self.net = _Mlp([inputs, *hidden, math.prod(self.out_shape)])

    def encode(self, pose: Tensor) -> Tensor:
        """Harmonic encoding [B, K] -> [B, 2 * K * harmonics]: all sines, then all cosines."""
        if not self.harmonic:
            return pose
        angles = (pose[:, :, None] * self.frequencies).flatten(1)
        return torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)

    def forward(self, pose: Tensor) -> Tensor:
        flat: Tensor = self.net.mlp(self.encode(pose))
        return flat.reshape(-1, *self.out_shape)
