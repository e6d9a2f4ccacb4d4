"""Texture generator: embeddings -> one high-frequency texture per person."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from avatar_export.networks.arguments import RunArguments
from avatar_export.networks.blocks import (
    LEAKY_SLOPE,
    AdaptiveConv2d,
    AdaptiveParameter,
    AdaptiveSpadeBatchNorm2d,
    conv3x3,
    upsample,
    widths_up,
)
from avatar_export.networks.projector import Projector

# Adaptive layers whose parameters come from one embedding: norm 2 and skip of block k, then
# norm 1 of block k + 1 (or the final norm). A SPADE norm takes two convolutions.
_KINDS = ("conv", "conv", "skip", "conv", "conv")


class _TextureBlock(nn.Module):
    """Residual block that upsamples before its first convolution; ``size`` is its input's."""

    def __init__(self, cin: int, cout: int, size: int, eps: float, first: bool) -> None:
        super().__init__()
        norm1 = nn.BatchNorm2d(cin, eps=eps) if first else AdaptiveSpadeBatchNorm2d(cin, size, eps)
        self.block_feats = nn.ModuleList(
            [
                norm1,
                nn.LeakyReLU(LEAKY_SLOPE),
                upsample(),
                conv3x3(cin, cout),
                AdaptiveSpadeBatchNorm2d(cout, 2 * size, eps),
                nn.LeakyReLU(LEAKY_SLOPE),
            ]
        )
        self.block = nn.Sequential(conv3x3(cout, cout))
        self.skip = nn.ModuleList([upsample(), AdaptiveConv2d()])

    def forward(
        self, x: Tensor, norm1: list[AdaptiveParameter], rest: list[AdaptiveParameter]
    ) -> Tensor:
        norm_a, activation, enlarge, conv, norm_b, _ = self.block_feats
        y = enlarge(activation(norm_a(x, *norm1)))
        y = self.block(activation(norm_b(conv(y), *rest[:2])))
        enlarge, skip = self.skip
        out: Tensor = y + skip(enlarge(x), rest[2])
        return out


class _Generator(nn.Module):
    def __init__(self, args: RunArguments) -> None:
        super().__init__()
        widths = widths_up(args.tex_num_channels, args.tex_max_channels, args.num_up_blocks)
        size = args.tex_input_tensor_size
        blocks = [
            _TextureBlock(a, b, size * 2**k, args.eps, first=k == 0)
            for k, (a, b) in enumerate(pairwise(widths))
        ]
        final = AdaptiveSpadeBatchNorm2d(widths[-1], args.image_size, args.eps)
        self.blocks = nn.ModuleList([*blocks, final])
        head = nn.Sequential(conv3x3(widths[-1], 3), nn.Tanh())
        self.heads = nn.ModuleList([head])

    def forward(self, x: Tensor, parameters: list[AdaptiveParameter]) -> Tensor:
        norm1: list[AdaptiveParameter] = []
        for k, block in enumerate(self.blocks[:-1]):
            mine = parameters[5 * k : 5 * k + 5]
            x = block(x, norm1, mine[:3])
            norm1 = mine[3:]
        x = nn.functional.leaky_relu(self.blocks[-1](x, *norm1), LEAKY_SLOPE)
        out: Tensor = self.heads[0](x)
        return out


class TextureGenerator(nn.Module):
    """Embeddings [B, C_k, 8, 8] -> texture [B, 3, H, W] in (-1, 1)."""

    def __init__(self, args: RunArguments) -> None:
        super().__init__()
        blocks = args.num_up_blocks
        widths = widths_up(args.tex_num_channels, args.tex_max_channels, blocks)
        embedded = widths_up(args.emb_num_channels, args.emb_max_channels, blocks)
        size = args.tex_input_tensor_size
        self.gen_tex_input = nn.Parameter(torch.zeros(1, widths[0], size, size))
        self.gen_tex = _Generator(args)
        self.prj_tex = Projector(embedded, widths, _KINDS)

    def forward(self, embeddings: list[Tensor]) -> Tensor:
        people = embeddings[0].shape[0]
        start: Tensor = self.gen_tex_input
        if people > 1:  # an expansion to one would leave a computed shape in an export
            start = start.expand(people, -1, -1, -1)
        texture: Tensor = self.gen_tex(start, self.prj_tex(embeddings))
        return texture
