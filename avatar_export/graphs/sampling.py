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
    """uv [1, 2, H, W] -> x and y, each [1, 1, H, W], in pixels."""
    position = (uv + 1.0) * (size / 2) - 0.5
    return position[:, :1], position[:, 1:]


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
    pixels, with X[p, j] = hat(x_p - j) and Y[p, i] = hat(y_p - i), and for one channel t [s, s],

        sample:  out[p] = sum_i Y[p, i] * (X @ t^T)[p, i]
        adjoint: g = (Y * r)^T @ X,    r[p] repeated along i,

    exactly. A tile is a few rows of the image, so that a [P, s] matrix fits memory. Converters up
    to SNPE 2.5 do not broadcast in general, so nothing here does: an outer difference or a
    repetition is a fully connected layer of one input, and channels are taken one by one.
    """

    def __init__(self, uv: Tensor, tile_rows: int) -> None:
        size = uv.shape[-1]
        self.size = size
        self.tile = tile_rows * size
        self.ones = torch.ones(size, 1, dtype=uv.dtype)
        ticks = torch.arange(size, dtype=uv.dtype)
        x, y = (torch.split(p.reshape(-1, 1), self.tile) for p in pixel_positions(uv, size))
        self.tiles = [
            (self._hats(columns, ticks), self._hats(rows, ticks))
            for columns, rows in zip(x, y, strict=True)
        ]

    def _hats(self, positions: Tensor, ticks: Tensor) -> Tensor:
        """positions [P, 1], ticks [s] -> max(0, 1 - |position - tick|), [P, s]."""
        return torch.relu(1.0 - F.linear(positions, self.ones, -ticks).abs())

    def sample(self, texture: Tensor) -> Tensor:
        """[1, C, s, s] -> [1, C, s, s]."""
        size = self.size
        sampled = []
        for channel in torch.split(texture, 1, dim=1):
            transposed = channel.reshape(size, size).transpose(0, 1)
            parts = [((x @ transposed) * y).sum(1, keepdim=True) for x, y in self.tiles]
            sampled.append(torch.cat(parts).reshape(1, 1, size, size))
        return torch.cat(sampled, dim=1)

    def adjoint(self, residual: Tensor) -> Tensor:
        """[1, C, s, s] -> [1, C, s, s], the transpose of :meth:`sample`."""
        return torch.cat([self._adjoint_channel(r) for r in torch.split(residual, 1, dim=1)], dim=1)

    def _adjoint_channel(self, residual: Tensor) -> Tensor:
        """[1, 1, s, s] -> [1, 1, s, s]."""
        parts = torch.split(residual.reshape(-1, 1), self.tile)
        products = [
            (F.linear(part, self.ones) * y).transpose(0, 1) @ x
            for part, (x, y) in zip(parts, self.tiles, strict=True)
        ]
        total = products[0]
        for product in products[1:]:
            total = total + product
        return total.reshape(1, 1, self.size, self.size)


def _hat(fraction: Tensor, corner: int) -> Tensor:
    """Weight of the lower (0) or upper (1) neighbour of a position with this fractional part."""
    return fraction if corner else 1.0 - fraction
