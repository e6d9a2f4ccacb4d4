"""Layers and residual blocks shared by the networks.

Module names (``block_feats``, ``block``, ``skip``, ...) and positions inside ``nn.Sequential`` are
the ones under which the official checkpoints store their tensors; they are part of that format.
Facts: docs/bilayer.md, section "Networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.2


@dataclass(frozen=True)
class AdaptiveParameter:
    """Weight and bias that a projector predicts for one adaptive layer.

    For a batch of people ``weight`` is [B, C] for a norm and [B, C, C_in, 1, 1] for a convolution,
    and ``bias`` is [B, C], as the official code has them. For one person a graph may hold the
    form in which its operators read them: [1, C, 1, 1] for weight and bias of a norm,
    [C, C_in, 1, 1] and [C] for a convolution.
    """

    weight: Tensor
    bias: Tensor


class AdaptiveConv2d(nn.Module):
    """A 1x1 convolution whose weights are data: [B, C_in, H, W] -> [B, C, H, W]."""

    def forward(self, x: Tensor, parameter: AdaptiveParameter) -> Tensor:
        return adaptive_conv(x, parameter)


class AdaptiveBatchNorm2d(nn.Module):
    """Batch norm without own scale; scale - 1 and shift are data. [B, C, H, W] -> the same."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.norm_layer = nn.BatchNorm2d(channels, eps=eps, affine=False)

    def forward(self, x: Tensor, parameter: AdaptiveParameter) -> Tensor:
        normed: Tensor = self.norm_layer(x)
        return normed * (_per_channel(parameter.weight) + 1.0) + _per_channel(parameter.bias)


class AdaptiveSpadeBatchNorm2d(nn.Module):
    """Batch norm whose scale and shift are maps: adaptive 1x1 convolutions of learned features."""

    def __init__(self, channels: int, size: int, eps: float) -> None:
        super().__init__()
        self.norm_layer = nn.BatchNorm2d(channels, eps=eps, affine=False)
        self.pixel_feats = nn.Parameter(torch.zeros(1, channels, size, size))

    def forward(self, x: Tensor, weight: AdaptiveParameter, bias: AdaptiveParameter) -> Tensor:
        scale = adaptive_conv(self.pixel_feats, weight) + 1.0
        shift = adaptive_conv(self.pixel_feats, bias)
        normed: Tensor = self.norm_layer(x)
        return normed * scale + shift


def adaptive_conv(x: Tensor, parameter: AdaptiveParameter) -> Tensor:
    """1x1 convolution with one weight per batch item.

    x is [B, C_in, H, W] or [1, C_in, H, W]; returns [B, C, H, W]. A batch of one is written as a
    plain convolution, so that an export shows a Conv whose weight is an input.
    """
    weight, bias = parameter.weight, parameter.bias
    if weight.ndim == 4:
        return F.conv2d(x, weight, bias)
    if weight.shape[0] == 1:
        return F.conv2d(x, weight.reshape(weight.shape[1:]), bias.reshape(-1))
    out = torch.einsum("boi,bihw->bohw", weight[..., 0, 0], x.expand(weight.shape[0], -1, -1, -1))
    return out + bias[:, :, None, None]


def _per_channel(x: Tensor) -> Tensor:
    return x if x.ndim == 4 else x[:, :, None, None]


def upsample(scale: float = 2) -> nn.Module:
    """Nearest-neighbour upsampling, as every generator of the model uses it."""
    return nn.Upsample(scale_factor=scale, mode="nearest")


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """3x3 convolution with bias and one pixel of zero padding."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


class ResidualBlock(nn.Module):
    """Pre-activation residual block without norms: [B, C_in, H, W] -> [B, C_out, H', W'].

    ``resize`` is "down" (average pooling after the last convolution of both branches), "up"
    (nearest upsampling before the first) or "keep".
    """

    def __init__(self, in_channels: int, out_channels: int, resize: str = "keep") -> None:
        super().__init__()
        before = [upsample()] if resize == "up" else []
        after = [nn.AvgPool2d(2)] if resize == "down" else []
        self.block_feats = nn.Sequential(
            nn.LeakyReLU(LEAKY_SLOPE),
            *before,
            conv3x3(in_channels, out_channels),
            nn.LeakyReLU(LEAKY_SLOPE),
        )
        self.block = nn.Sequential(conv3x3(out_channels, out_channels), *after)
        self.skip: nn.Module = nn.Identity()
        if resize != "keep" or in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 1)
            self.skip = nn.Sequential(*before, conv, *after)

    def features(self, x: Tensor) -> Tensor:
        """Output of the first convolution and the activation after it."""
        out: Tensor = self.block_feats(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(self.features(x)) + self.skip(x)
        return out


def widths_up(num_channels: int, max_channels: int, blocks: int) -> list[int]:
    """Channels of a generator from its input to its last block: ``blocks + 1`` numbers.

    The last is ``num_channels``; each step towards the input doubles it, up to ``max_channels``.
    """
    return [min(num_channels * 2 ** (blocks - k), max_channels) for k in range(blocks + 1)]
