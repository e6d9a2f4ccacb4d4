"""How far two arrays are from each other: largest difference, PSNR, SSIM.

All arithmetic is float64. A non-finite value on either side makes every metric nan, and nan
compares false with any tolerance: a broken result cannot pass by accident.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from avatar_export.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Wang et al. 2004, section III-C: window and constants of the reference implementation.
_WINDOW, _SIGMA, _K1, _K2 = 11, 1.5, 0.01, 0.03


def max_abs(a: ArrayLike, b: ArrayLike) -> float:
    """Largest absolute difference, in the unit of the arrays; 0 for empty ones.

    Returns nan when either array holds a non-finite value.

    Raises:
        UserError: the shapes differ.
    """
    x, y = _pair(a, b)
    if not _finite(x, y):
        return float("nan")
    return float(np.max(np.abs(x - y), initial=0.0))


def psnr(a: ArrayLike, b: ArrayLike, data_range: float = 2.0) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(data_range^2 / mean((a - b)^2)).

    ``data_range`` is the span of legal values, 2.0 for images in [-1, 1]. Returns inf for equal
    arrays and nan when either holds a non-finite value.

    Raises:
        UserError: the shapes differ, or ``data_range`` is not above zero.
    """
    x, y = _pair(a, b)
    _check_range(data_range)
    if not _finite(x, y):
        return float("nan")
    error = float(np.mean(np.square(x - y))) if x.size else 0.0
    if error == 0.0:
        return float("inf")
    return float(20.0 * np.log10(data_range) - 10.0 * np.log10(error))


def ssim(a: ArrayLike, b: ArrayLike, data_range: float = 2.0) -> float:
    """Mean structural similarity of images [N,C,H,W] or [C,H,W], from -1 to 1 (equal).

    Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli, "Image quality assessment: from error visibility
    to structural similarity", IEEE TIP 13(4), 2004: 11x11 Gaussian window of sigma 1.5, K1 0.01,
    K2 0.03, only windows that lie wholly inside the image, mean over windows, channels and images.
    An image smaller than the window gets the largest odd window that fits. Returns nan when either
    array holds a non-finite value.

    Raises:
        UserError: the shapes differ, are not images, hold no pixel, or ``data_range`` is not
            above zero.
    """
    x, y = _pair(a, b)
    _check_range(data_range)
    if x.ndim not in (3, 4) or x.size == 0:
        raise UserError(f"not images: shape {x.shape}", "ssim compares [N,C,H,W] or [C,H,W]")
    if not _finite(x, y):
        return float("nan")
    height, width = x.shape[-2:]
    planes = zip(x.reshape(-1, height, width), y.reshape(-1, height, width), strict=True)
    return float(np.mean([_ssim_plane(p, q, data_range) for p, q in planes]))


def _ssim_plane(x: NDArray[np.float64], y: NDArray[np.float64], data_range: float) -> float:
    """Equation 13 of the paper at every window of one [H,W] plane, averaged (equation 17)."""
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x**2
    var_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return float(np.mean(luminance * structure))


def _blur(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian window sums of one [H,W] plane where the window lies wholly inside it."""
    side = min(_WINDOW, *plane.shape)
    side -= 1 - side % 2
    edge = side // 2
    blurred = cv2.GaussianBlur(plane, (side, side), _SIGMA, borderType=cv2.BORDER_REFLECT_101)
    inside: NDArray[np.float64] = np.asarray(blurred, np.float64)
    return inside[edge : plane.shape[0] - edge, edge : plane.shape[1] - edge]


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if x.shape != y.shape:
        raise UserError(f"cannot compare shape {x.shape} with {y.shape}")
    return x, y


def _finite(x: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(x).all() and np.isfinite(y).all())


def _check_range(data_range: float) -> None:
    if not data_range > 0.0:
        raise UserError(f"data_range must be above zero, not {data_range}")
