"""Inference generator: the light network that runs once per frame."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from avatar_export.networks.arguments import RunArguments
from avatar_export.networks.blocks import (
    LEAKY_SLOPE,
    AdaptiveBatchNorm2d,
    AdaptiveConv2d,
    AdaptiveParameter,
    conv3x3,
    upsample,
    widths_up,
)
from avatar_export.networks.projector import Projector

# Norm 2 and skip of block k, then norm 1 of block k + 1 (or the final norm).
_KINDS = ("norm", "skip", "norm")


@dataclass(frozen=True)
class Heads:
    """What the generator predicts for a frame, H = W = image size.

    delta_uv [B, 2, H, W]: displacement in (-1, 1), channel 0 is x, unit half an image.
    rgb [B, 3, H, W]: low-frequency layer in (-1, 1).
    mask_logit [B, 1, H, W]: foreground logit.
    """

    delta_uv: Tensor
    rgb: Tensor
    mask_logit: Tensor


class _FrameBlock(nn.Module):
    """Residual block that upsamples between its convolutions ("efficient upsampling")."""

    def __init__(self, cin: int, cout: int, eps: float, first: bool) -> None:
        super().__init__()
        norm1 = nn.BatchNorm2d(cin, eps=eps) if first else AdaptiveBatchNorm2d(cin, eps)
        self.block_feats = nn.ModuleList(
            [
                norm1,
                nn.LeakyReLU(LEAKY_SLOPE),
                conv3x3(cin, cout),
                AdaptiveBatchNorm2d(cout, eps),
                nn.LeakyReLU(LEAKY_SLOPE),
            ]
        )
        self.block = nn.Sequential(upsample(), conv3x3(cout, cout))
        self.skip = nn.ModuleList([upsample(), AdaptiveConv2d()])

    def forward(
        self,
        x: Tensor,
        norm1: list[AdaptiveParameter],
        norm2: AdaptiveParameter,
        skip: AdaptiveParameter,
    ) -> Tensor:
        norm_a, activation, conv, norm_b, _ = self.block_feats
        y = self.block(activation(norm_b(conv(activation(norm_a(x, *norm1))), norm2)))
        enlarge, conv_skip = self.skip
        out: Tensor = y + conv_skip(enlarge(x), skip)
        return out


class _Generator(nn.Module):
    def __init__(self, args: RunArguments) -> None:
        super().__init__()
        widths = widths_up(args.inf_num_channels, args.inf_max_channels, args.num_up_blocks)
        blocks = [
            _FrameBlock(a, b, args.eps, first=k == 0) for k, (a, b) in enumerate(pairwise(widths))
        ]
        self.blocks = nn.ModuleList([*blocks, AdaptiveBatchNorm2d(widths[-1], args.eps)])
        self.heads = nn.ModuleList(
            [
                nn.Sequential(conv3x3(widths[-1], 2), nn.Tanh()),
                nn.Sequential(conv3x3(widths[-1], 3), nn.Tanh()),
                nn.Sequential(conv3x3(widths[-1], 1)),
            ]
        )

    def forward(self, x: Tensor, parameters: list[AdaptiveParameter]) -> Heads:
        norm1: list[AdaptiveParameter] = []
        for k, block in enumerate(self.blocks[:-1]):
            norm2, skip, following = parameters[3 * k : 3 * k + 3]
            x = block(x, norm1, norm2, skip)
            norm1 = [following]
        x = nn.functional.leaky_relu(self.blocks[-1](x, *norm1), LEAKY_SLOPE)
        return Heads(*(head(x) for head in self.heads))


class InferenceGenerator(nn.Module):
    """Pose embedding [B, C, 4, 4] and adaptive parameters -> :class:`Heads`."""

    identity_grid: Tensor

    def __init__(self, args: RunArguments) -> None:
        super().__init__()
        blocks = args.num_up_blocks
        widths = widths_up(args.inf_num_channels, args.inf_max_channels, blocks)
        embedded = widths_up(args.emb_num_channels, args.emb_max_channels, blocks)
        self.gen_inf = _Generator(args)
        self.prj_inf = Projector(embedded, widths, _KINDS)
        self.register_buffer("identity_grid", identity_grid(args.image_size))

    def project(self, embeddings: list[Tensor]) -> list[AdaptiveParameter]:
        """Embeddings -> the adaptive parameters of one person."""
        parameters: list[AdaptiveParameter] = self.prj_inf(embeddings)
        return parameters

    def forward(self, pose_embedding: Tensor, parameters: list[AdaptiveParameter]) -> Heads:
        heads: Heads = self.gen_inf(pose_embedding, parameters)
        return heads


def identity_grid(size: int) -> Tensor:
    """Pixel centres in [-1, 1]: [1, size, size, 2], last axis (x, y).

    The centres are the midpoints of ``linspace(-1, 1, size + 1)``: the grid that samples an
    image onto itself when corners are not aligned.
    """
    edges = torch.linspace(-1.0, 1.0, size + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y], dim=-1)[None]
