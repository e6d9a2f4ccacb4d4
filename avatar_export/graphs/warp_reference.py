"""What an application computes from the outputs of a frame graph with the ``external`` warp.

numpy only, no torch: the definition that ``kernels/`` are tested against. Texture, displacement
and frame share one square size s, as in every bi-layer run; the displacement form needs it, since
only then does the identity grid step by one texel a pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from avatar_export.errors import UserError

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int32]


def warp(texture: Floats, delta_uv: Floats) -> Floats:
    """Sample the texture at identity grid + delta_uv: bilinear, zeros outside.

    With d = delta_uv * s / 2 in pixels, pixel j reads texel position j + floor(d) + (d - floor(d)):
    the integer part joins the pixel index as int32 and only d is a floating point number.

    Args:
        texture: [N, 3, s, s].
        delta_uv: [N, 2, s, s] in units of half an image; channel 0 is x.

    Returns:
        [N, 3, s, s], computed in the wider of the two dtypes.

    Raises:
        UserError: the shapes do not fit.
    """
    _require_shapes(texture, delta_uv)
    size = texture.shape[-1]
    d = delta_uv * delta_uv.dtype.type(size / 2)
    whole = np.floor(d)
    fraction_x, fraction_y = np.split(d - whole, 2, axis=1)
    # Everything is outside beyond s, and a larger number might not fit an integer.
    step = np.clip(whole, -2 * size, 2 * size).astype(np.int32)
    pixel = np.arange(size, dtype=np.int32)
    x, y = pixel + step[:, 0], pixel[:, None] + step[:, 1]
    upper = _lerp(_texels(texture, x, y), _texels(texture, x + 1, y), fraction_x)
    lower = _lerp(_texels(texture, x, y + 1), _texels(texture, x + 1, y + 1), fraction_x)
    return _lerp(upper, lower, fraction_y)


def compose(
    rgb: Floats, warped: Floats, mask: Floats | None = None, background: float = -1.0
) -> Floats:
    """Add both layers; with a mask, put each sum on a background as the model does.

    With m(x) = x * mask + background * (1 - mask) a masked frame is m(m(rgb) + warped). The
    model's own background is black, -1.

    Args:
        rgb: low-frequency layer [N, 3, s, s].
        warped: high-frequency layer, the result of :func:`warp`, [N, 3, s, s].
        mask: foreground [N, 1, s, s] in (0, 1), or None to keep the generated background.
        background: grey level in [-1, 1].

    Returns:
        [N, 3, s, s], black -1 and white 1, not clamped.

    Raises:
        UserError: the shapes do not fit.
    """
    if rgb.shape != warped.shape:
        raise UserError(f"rgb {rgb.shape} and warped texture {warped.shape} differ in shape")
    if mask is None:
        return rgb + warped
    if mask.shape != (rgb.shape[0], 1, *rgb.shape[2:]):
        raise UserError(f"mask {mask.shape} does not fit rgb {rgb.shape}")
    around = background * (1 - mask)
    return (rgb * mask + around + warped) * mask + around


def _require_shapes(texture: Floats, delta_uv: Floats) -> None:
    size = texture.shape[-1] if texture.ndim == 4 else 0
    count = texture.shape[0] if texture.ndim == 4 else 0
    if not size or texture.shape != (count, 3, size, size):
        raise UserError(f"texture is {texture.shape}, not (N, 3, s, s)")
    if delta_uv.shape != (count, 2, size, size):
        raise UserError(
            f"delta_uv is {delta_uv.shape}, not {(count, 2, size, size)}",
            "texture and frame have the same size, and channel 0 of delta_uv is x",
        )


def _texels(texture: Floats, x: Integers, y: Integers) -> Floats:
    """Texels [N, 3, s, s] at columns x and rows y, each [N, s, s]; zero outside."""
    last = texture.shape[-1] - 1
    inside = (x >= 0) & (x <= last) & (y >= 0) & (y <= last)
    sample = np.arange(len(texture))[:, None, None]
    picked = texture[sample, :, y.clip(0, last), x.clip(0, last)]
    zero = texture.dtype.type(0)
    return np.where(inside[:, None], np.moveaxis(picked, -1, 1), zero)


def _lerp(a: Floats, b: Floats, weight: Floats) -> Floats:
    return a + (b - a) * weight
