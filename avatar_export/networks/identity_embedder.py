"""Identity embedder: photo and stickman -> one embedding per generator block."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from avatar_export.networks.arguments import RunArguments
from avatar_export.networks.blocks import ResidualBlock, conv3x3, widths_up


class _Encoder(nn.Module):
    def __init__(self, args: RunArguments) -> None:
        super().__init__()
        first, most = args.emb_num_channels, args.emb_max_channels
        down = [min(first * 2**k, most) for k in range(args.num_down_blocks + 1)]
        up = [down[-1], *widths_up(first, most, args.num_up_blocks)[1:]]
        stem = conv3x3(3 if args.emb_no_stickman else 6, first)
        self.enc = nn.Sequential(stem, *(ResidualBlock(a, b, "down") for a, b in pairwise(down)))
        self.dec_blocks = nn.ModuleList(ResidualBlock(a, b) for a, b in pairwise(up))


class IdentityEmbedder(nn.Module):
    """Several photos of one person -> embeddings [B, C_k, S, S], S = emb_output_tensor_size.

    The second half of the last block is in every checkpoint, but nothing reads its output.
    """

    def __init__(self, args: RunArguments) -> None:
        super().__init__()
        self.args = args
        self.net = _Encoder(args)

    def forward(self, images: Tensor, stickmen: Tensor, masks: Tensor) -> list[Tensor]:
        """Embed source frames.

        Args:
            images: [B, N, 3, H, W] in [-1, 1].
            stickmen: [B, N, 3, H, W] in [-1, 1].
            masks: [B, N, 1, H, W] in [0, 1]; used when the run masks its sources.

        Returns:
            For each generator block an embedding [B, C_k, S, S]. Frames are averaged at the
            encoder's output when the run was trained with as many, else after the last layer.
        """
        frames = images.shape[1]
        images, stickmen, masks = (x.flatten(0, 1) for x in (images, stickmen, masks))
        return self.embed(images, stickmen, masks, frames)

    def embed(
        self, images: Tensor, stickmen: Tensor, masks: Tensor, frames: int = 1
    ) -> list[Tensor]:
        """As :meth:`forward`, with the frames of all people in one axis: [B * N, C, H, W]."""
        if self.args.emb_apply_masks:
            # Repeated by hand: older SNPE converters broadcast one value a channel, not a map.
            images = apply_mask(images, torch.cat([masks] * images.shape[1], dim=1))
        inputs = images if self.args.emb_no_stickman else torch.cat([images, stickmen], dim=1)
        x: Tensor = self.net.enc(inputs)
        early = frames == self.args.num_source_frames
        if early:
            x = _mean_over_frames(x, frames)
        embeddings = []
        for block in self.net.dec_blocks:
            features: Tensor = block.features(x)  # type: ignore[operator]
            embeddings.append(features if early else _mean_over_frames(features, frames))
            if len(embeddings) < len(self.net.dec_blocks):
                x = block.block(features) + block.skip(x)  # type: ignore[operator]
        return embeddings


def apply_mask(image: Tensor, mask: Tensor) -> Tensor:
    """Put an image in [-1, 1] on black: ``image * mask - (1 - mask)``."""
    return image * mask - (1.0 - mask)


def _mean_over_frames(x: Tensor, frames: int) -> Tensor:
    return x if frames == 1 else x.reshape(-1, frames, *x.shape[1:]).mean(1)
