"""Bilinear sampling at uv positions and its adjoint, spelled so that ONNX can hold them.

Both classes sample a square texture with zeros outside and corners not aligned, at uv given as
[1, 2, H, W] with channel 0 = x. With s = texture size, position x = (u + 1) * s / 2 - 1/2 in
pixels, j + 0 being the centre of column j.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pixel_positions(uv: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """uv [1, 2, H, W] -> x and y, each [1, H, W], in pixels."""
    position = (uv + 1.0) * (size / 2) - 0.5
    return position[:, 0], position[:, 1]


class ScatterSampler:
    """GridSample forward; four ScatterElements with reduction "add" backward.

    Needs GridSample and ScatterElements of opset 16.
    """

    def __init__(self, uv: Tensor) -> None:
        self.size = uv.shape[-1]
        self.grid = uv.permute(0, 2, 3, 1)
        x, y = pixel_positions(uv, self.size)
        x0, y0 = torch.floor(x), torch.floor(y)
        self.corners = [
            self._corner(x0 + dx, y0 + dy, _hat(x - x0, dx) * _hat(y - y0, dy))
            for dy in (0, 1)
            for dx in (0, 1)
        ]

    def _corner(self, column: Tensor, row: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Flat texel index [1, 1, H * W] and weight, 0 where the texel is outside."""
        last = self.size - 1
        inside = (column >= 0) & (column <= last) & (row >= 0) & (row <= last)
        index = row.clamp(0, last) * self.size + column.clamp(0, last)
        flat = (1, 1, self.size * self.size)
        return index.reshape(flat).long(), (weight * inside.to(weight.dtype)).reshape(flat)

    def sample(self, texture: Tensor) -> Tensor:
        """[1, C, s, s] -> [1, C, s, s]."""
        return F.grid_sample(
            texture, self.grid, mode="bilinear", padding_mode="zeros", align_corners=False
        )

    def adjoint(self, residual: Tensor) -> Tensor:
        """[1, C, s, s] -> [1, C, s, s], the transpose of :meth:`sample`."""
        channels = residual.shape[1]
        flat = residual.reshape(1, channels, -1)
        total = torch.zeros_like(flat)
        for index, weight in self.corners:
            total = total.scatter_add(2, index.expand(1, channels, -1), flat * weight)
        return total.reshape(residual.shape)


class HatSampler:
    """The same two maps as matrix products, for runtimes without GridSample and scatter.

    Bilinear weights are products of hat functions, w[p, i, j] = hat(y_p - i) * hat(x_p - j) with
    hat(t) = max(0, 1 - |t|), which is zero outside the texture by itself. So for a tile of P
    pixels, with Hx = hat(x_p - j) of shape [s, P] and Hy likewise,

        sample:  out[c, p] = sum_i Hy[i, p] * (texture[(c, i), :] @ Hx)[p]
        adjoint: g[(c, i), :] = (residual[c, p] * Hy[i, p]) @ Hx^T

    exactly. A tile is a few rows of the image, so that the [C * s, P] product fits memory.
    """

    def __init__(self, uv: Tensor, tile_rows: int) -> None:
        self.size = uv.shape[-1]
        x, y = pixel_positions(uv, self.size)
        ticks = torch.arange(self.size, dtype=uv.dtype).reshape(-1, 1)
        self.tile_pixels = tile_rows * self.size
        self.tiles = []
        for start in range(0, self.size, tile_rows):
            stop = min(start + tile_rows, self.size)
            columns = _hat_matrix(x[:, start:stop].reshape(1, -1), ticks)
            rows = _hat_matrix(y[:, start:stop].reshape(1, -1), ticks)
            self.tiles.append((columns, columns.transpose(0, 1), rows.unsqueeze(0)))

    def sample(self, texture: Tensor) -> Tensor:
        """[1, C, s, s] -> [1, C, s, s]."""
        channels, size = texture.shape[1], self.size
        matrix = texture.reshape(channels * size, size)
        parts = []
        for columns, _, rows in self.tiles:
            mixed = (matrix @ columns).reshape(channels, size, -1)
            parts.append((mixed * rows).sum(dim=1))
        return torch.cat(parts, dim=1).reshape(1, channels, size, size)

    def adjoint(self, residual: Tensor) -> Tensor:
        """[1, C, s, s] -> [1, C, s, s], the transpose of :meth:`sample`."""
        channels, size = residual.shape[1], self.size
        parts = torch.split(residual.reshape(channels, 1, -1), self.tile_pixels, dim=2)
        total: Tensor | None = None
        for part, (_, columns_t, rows) in zip(parts, self.tiles, strict=True):
            spread = (part * rows).reshape(channels * size, -1) @ columns_t
            total = spread if total is None else total + spread
        assert total is not None
        return total.reshape(1, channels, size, size)


def _hat(fraction: Tensor, corner: int) -> Tensor:
    """Weight of the lower (0) or upper (1) neighbour of a position with this fractional part."""
    return fraction if corner else 1.0 - fraction


def _hat_matrix(positions: Tensor, ticks: Tensor) -> Tensor:
    """positions [1, P], ticks [s, 1] -> max(0, 1 - |position - tick|), [s, P]."""
    return torch.relu(1.0 - (positions - ticks).abs())
