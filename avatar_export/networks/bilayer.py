"""The bi-layer model: its five networks and how their results combine."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avatar_export.networks.arguments import RunArguments
from avatar_export.networks.blocks import AdaptiveParameter
from avatar_export.networks.identity_embedder import IdentityEmbedder, apply_mask
from avatar_export.networks.inference_generator import Heads, InferenceGenerator
from avatar_export.networks.keypoints_embedder import KeypointsEmbedder
from avatar_export.networks.texture_enhancer import TextureEnhancer
from avatar_export.networks.texture_generator import TextureGenerator


@dataclass(frozen=True)
class Avatar:
    """What is computed once per person.

    texture [B, 3, H, W]; adaptive: parameters of the inference generator, in order of use.
    """

    texture: Tensor
    adaptive: list[AdaptiveParameter]


@dataclass(frozen=True)
class Frame:
    """A rendered frame; images in [-1, 1] but not clamped, H = W = image size.

    uv [B, H, W, 2] (x, y) sampling positions; low_frequency and high_frequency [B, 3, H, W];
    mask [B, 1, H, W] in (0, 1).
    """

    heads: Heads
    uv: Tensor
    low_frequency: Tensor
    high_frequency: Tensor
    mask: Tensor

    @property
    def image(self) -> Tensor:
        """Both layers added: [B, 3, H, W], the background not removed."""
        return self.low_frequency + self.high_frequency

    @property
    def masked_image(self) -> Tensor:
        """The image on black, as runs with inf_apply_masks and enh_apply_masks compose it.

        The low-frequency layer is masked before the sum and the sum once more.
        """
        return apply_mask(
            apply_mask(self.low_frequency, self.mask) + self.high_frequency, self.mask
        )


class GridSampler:
    """Bilinear sampling with zeros outside, corners not aligned, at uv [B, H', W', 2]."""

    def __init__(self, uv: Tensor) -> None:
        self.uv = uv

    def sample(self, texture: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H', W']."""
        return F.grid_sample(
            texture, self.uv, mode="bilinear", padding_mode="zeros", align_corners=False
        )

    def adjoint(self, residual: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]: the transpose of :meth:`sample`, by autograd."""
        with torch.enable_grad():
            texture = torch.zeros_like(residual, requires_grad=True)
            (result,) = torch.autograd.grad(self.sample(texture), texture, residual)
        return result


class BilayerModel(nn.Module):
    """Five networks of one run (the enhancer is optional)."""

    epoch: int | None = None
    enhancer_epoch: int | None = None

    def __init__(
        self,
        args: RunArguments,
        *,
        identity_embedder: IdentityEmbedder,
        texture_generator: TextureGenerator,
        keypoints_embedder: KeypointsEmbedder,
        inference_generator: InferenceGenerator,
        texture_enhancer: TextureEnhancer | None,
    ) -> None:
        super().__init__()
        self.args = args
        self.identity_embedder = identity_embedder
        self.texture_generator = texture_generator
        self.keypoints_embedder = keypoints_embedder
        self.inference_generator = inference_generator
        self.texture_enhancer = texture_enhancer

    def avatar(self, images: Tensor, stickmen: Tensor, masks: Tensor) -> Avatar:
        """Source frames [B, N, 3 | 3 | 1, H, W] -> texture (not enhanced) and parameters."""
        embeddings = self.identity_embedder(images, stickmen, masks)
        return Avatar(
            self.texture_generator(embeddings), self.inference_generator.project(embeddings)
        )

    def heads(self, pose: Tensor, adaptive: list[AdaptiveParameter]) -> Heads:
        """Pose [B, 136] and parameters (batch B or 1) -> the generator's predictions."""
        heads: Heads = self.inference_generator(self.keypoints_embedder(pose), adaptive)
        return heads

    def frame(self, pose: Tensor, avatar: Avatar) -> Frame:
        """Render poses [B, 136] with an avatar of batch B (or 1)."""
        heads = self.heads(pose, avatar.adaptive)
        uv = self.inference_generator.identity_grid + heads.delta_uv.permute(0, 2, 3, 1)
        texture = avatar.texture.expand(uv.shape[0], -1, -1, -1)
        sampled = GridSampler(uv).sample(texture)
        return Frame(heads, uv, heads.rgb, sampled, torch.sigmoid(heads.mask_logit))

    def enhance(self, avatar: Avatar, source: Tensor, source_frame: Frame) -> Tensor:
        """The enhanced texture [B, 3, H, W].

        Args:
            avatar: with the texture to improve.
            source: [B, 3, H, W], the source photo.
            source_frame: the avatar rendered at the source's own pose.
        """
        if self.texture_enhancer is None:
            return avatar.texture
        enhanced: Tensor = self.texture_enhancer(
            avatar.texture,
            GridSampler(source_frame.uv),
            source_frame.low_frequency,
            source,
            source_frame.mask,
        )
        return enhanced
