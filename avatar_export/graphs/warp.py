"""The warp that turns a texture and a displacement into a frame's high-frequency layer.

Three spellings of one function (bilinear, zeros outside, corners not aligned):

``external``     not in the graph: the application samples the texture, see ``kernels/``.
``gather``       floor, integer index, Gather, lerp, for runtimes whose GPU has Gather.
``grid_sample``  the ONNX operator GridSample.

The gather form samples from the *displacement*. With d = delta_uv * s / 2 in pixels,

    position of pixel j = j + floor(d) + (d - floor(d)),

because the identity grid holds pixel centres. Only d passes through floating point; the integer
part joins the pixel index as an integer. A naive warp adds identity grid and displacement first:
in half precision a coordinate in [128, 256) is only good to 1/8 pixel.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WarpForm = Literal["external", "gather", "grid_sample"]

# Texels of zeros around the texture: a position clamped to [-2, s] has both its neighbours in
# the texture or in this border, so nothing but the border is read outside.
BORDER = 2


class GridSampleWarp(nn.Module):
    """texture [1, C, s, s], delta_uv [1, 2, s, s] -> [1, C, s, s] by GridSample."""

    identity_grid: Tensor

    def __init__(self, identity_grid: Tensor) -> None:
        super().__init__()
        self.register_buffer("identity_grid", identity_grid)

    def forward(self, texture: Tensor, delta_uv: Tensor) -> Tensor:
        uv = self.identity_grid + delta_uv.permute(0, 2, 3, 1)
        return F.grid_sample(
            texture, uv, mode="bilinear", padding_mode="zeros", align_corners=False
        )


class GatherWarp(nn.Module):
    """texture [1, C, s, s], delta_uv [1, 2, s, s] -> [1, C, s, s] by one Gather.

    A table holds, for each texel of the bordered texture, the texel and its right, lower and
    lower right neighbours: [(s + 4)^2, 4 * C]. One Gather of its rows brings all four corners.
    """

    low: Tensor
    high: Tensor
    base: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.stride = size + 2 * BORDER
        line = torch.arange(size, dtype=torch.float32)
        x, y = line.expand(size, size), line.reshape(-1, 1).expand(size, size)
        pixel = torch.stack([x, y])[None]
        # Bounds of floor(d) so that j + floor(d) stays in [-BORDER, s]. They are whole numbers
        # below 2048, exact in half precision.
        self.register_buffer("low", -BORDER - pixel)
        self.register_buffer("high", size - pixel)
        base = (y + BORDER) * self.stride + (x + BORDER)
        self.register_buffer("base", base.reshape(1, 1, size, size).to(torch.int32))

    def table(self, texture: Tensor) -> Tensor:
        """[1, C, s, s] -> [(s + 4)^2, 4 * C], corner-major."""
        padded = F.pad(texture, (BORDER, BORDER + 1, BORDER, BORDER + 1))
        n = self.stride
        corners = [padded[:, :, dy : dy + n, dx : dx + n] for dy in (0, 1) for dx in (0, 1)]
        stacked = torch.cat(corners, dim=1)
        return stacked.reshape(stacked.shape[1], n * n).transpose(0, 1)

    def forward(self, texture: Tensor, delta_uv: Tensor) -> Tensor:
        channels, size = texture.shape[1], self.size
        d = delta_uv * (size / 2)
        whole = torch.floor(d)
        fraction = d - whole
        # Minus the step: SNPE's GPU subtracts int32 tensors of one shape, but does not add them.
        back = -torch.minimum(torch.maximum(whole, self.low), self.high)
        back_x, back_y = back[:, :1].to(torch.int32), back[:, 1:].to(torch.int32)
        index = (self.base - back_y * self.stride - back_x).reshape(-1)
        rows = torch.index_select(self.table(texture), 0, index)
        corners = rows.transpose(0, 1).reshape(1, 4 * channels, size, size)
        a, b, c, e = torch.split(corners, channels, dim=1)
        fx, fy = fraction[:, :1], fraction[:, 1:]
        upper: Tensor = a + (b - a) * fx
        lower = c + (e - c) * fx
        warped: Tensor = upper + (lower - upper) * fy
        return warped
