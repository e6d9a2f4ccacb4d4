"""Texture enhancer: learned gradient descent on the texture, unrolled, without autograd."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from avatar_export.networks.arguments import EnhancerArguments
from avatar_export.networks.blocks import LEAKY_SLOPE, ResidualBlock, conv3x3


class Sampler(Protocol):
    """Bilinear sampling of a texture at fixed positions, and its adjoint."""

    def sample(self, texture: Tensor) -> Tensor:
        """[B, C, H, W] texture -> [B, C, H', W'] samples."""

    def adjoint(self, residual: Tensor) -> Tensor:
        """[B, C, H', W'] -> [B, C, H, W]: each number goes to the four texels it came from."""


@dataclass(frozen=True)
class EnhancerStep:
    """One unrolled step: texture before it, guiding gradient, network output before tanh."""

    texture: Tensor
    gradient: Tensor
    net_out: Tensor


class _Net(nn.Module):
    def __init__(self, args: EnhancerArguments) -> None:
        super().__init__()
        scales = range(args.num_scale_blocks + 1)
        down = [min(args.enh_num_channels * 2**k, args.enh_max_channels) for k in scales]
        self.blocks = nn.Sequential(
            conv3x3(6, down[0]),
            *(ResidualBlock(a, b, "down") for a, b in pairwise(down)),
            *(ResidualBlock(down[-1], down[-1]) for _ in range(args.enh_num_blocks)),
            *(ResidualBlock(a, b, "up") for a, b in pairwise(down[::-1])),
            nn.Identity(),  # the place of a norm; published runs have none
            nn.LeakyReLU(LEAKY_SLOPE),
            conv3x3(down[0], 3),
        )


class TextureEnhancer(nn.Module):
    """Improves a texture in ``enh_unrolling_depth`` learned gradient steps.

    Each step renders the source frame with the present texture and takes the gradient of half
    the summed squared error with respect to it, in closed form:

        pred = (lf + sample(texture)) * mask - (1 - mask)
        loss = sum((source * mask - (1 - mask) - pred)^2) / 2
        d loss / d texture = adjoint((lf + sample(texture) - source) * mask^2)

    The network reads texture and gradient; tanh of its output is added to the texture.
    """

    def __init__(self, args: EnhancerArguments) -> None:
        super().__init__()
        self.steps = args.enh_unrolling_depth
        self.net = _Net(args)

    def unroll(
        self, texture: Tensor, sampler: Sampler, low_frequency: Tensor, source: Tensor, mask: Tensor
    ) -> Iterator[EnhancerStep]:
        """Yield every step, then a last one that holds the result and empty tensors.

        Args:
            texture: [B, 3, H, W].
            sampler: samples at the source frame's uv.
            low_frequency: [B, 3, H, W], the source frame's low-frequency layer.
            source: [B, 3, H, W] in [-1, 1], the photo without a mask.
            mask: [B, 1, H, W], the *predicted* mask of the source frame.
        """
        target = source - low_frequency
        # Repeated by hand: older SNPE converters broadcast one value a channel, not a map.
        weight = torch.cat([mask * mask] * source.shape[1], dim=1)
        for _ in range(self.steps):
            gradient = sampler.adjoint((sampler.sample(texture) - target) * weight)
            net_out = self.net.blocks(torch.cat([texture, gradient], dim=1))
            yield EnhancerStep(texture, gradient, net_out)
            texture = texture + torch.tanh(net_out)
        yield EnhancerStep(texture, texture[:0], texture[:0])

    def forward(
        self, texture: Tensor, sampler: Sampler, low_frequency: Tensor, source: Tensor, mask: Tensor
    ) -> Tensor:
        """The enhanced texture [B, 3, H, W], not clamped; arguments as :meth:`unroll`."""
        *_, last = self.unroll(texture, sampler, low_frequency, source, mask)
        return last.texture
