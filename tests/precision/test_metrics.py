"""max_abs, PSNR and SSIM against values worked out by hand and a plain SSIM."""

from __future__ import annotations

import math

import numpy as np
import pytest

from avatar_export.errors import UserError
from avatar_export.precision.metrics import max_abs, psnr, ssim


def plain_ssim(x: np.ndarray, y: np.ndarray, data_range: float, side: int = 11) -> float:
    """Equation 13 of Wang et al. 2004, window by window, without any filter library."""
    axis = np.arange(side) - side // 2
    window = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for i in range(x.shape[0] - side + 1):
        for j in range(x.shape[1] - side + 1):
            p, q = x[i : i + side, j : j + side], y[i : i + side, j : j + side]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            values.append(
                (2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))
            )
    return float(np.mean(values))


def test_max_abs_finds_the_one_value_that_differs():
    a = np.zeros((2, 3), np.float32)
    b = a.copy()
    b[1, 2] = -0.25
    assert max_abs(a, b) == 0.25


def test_psnr_of_a_known_error():
    # mean square error 0.01, peak 2: 10 log10(4 / 0.01)
    assert psnr(np.zeros(100), np.full(100, 0.1)) == pytest.approx(26.0206, abs=1e-4)
    assert psnr(np.zeros(100), np.full(100, 0.1), data_range=1.0) == pytest.approx(20.0)


def test_equal_arrays():
    image = np.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
    assert max_abs(image, image) == 0.0
    assert psnr(image, image) == math.inf
    assert ssim(image, image) == pytest.approx(1.0)


@pytest.mark.parametrize("data_range", [2.0, 255.0])
def test_ssim_is_the_paper_s(data_range):
    rng = np.random.default_rng(0)
    x = rng.uniform(-data_range / 2, data_range / 2, (19, 23))
    y = x + rng.normal(0, data_range / 10, x.shape)
    expected = plain_ssim(x, y, data_range)
    assert ssim(x[None], y[None], data_range) == pytest.approx(expected, abs=1e-10)


def test_ssim_averages_channels_and_images():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(-1, 1, (2, 2, 3, 16, 16))
    pairs = zip(a.reshape(6, 16, 16), b.reshape(6, 16, 16), strict=True)
    planes = [plain_ssim(p, q, 2.0) for p, q in pairs]
    assert ssim(a, b) == pytest.approx(np.mean(planes), abs=1e-10)


@pytest.mark.parametrize(("size", "side"), [((5, 7), 5), ((4, 9), 3), ((1, 1), 1)])
def test_ssim_of_an_image_smaller_than_the_window(size, side):
    rng = np.random.default_rng(2)
    a, b = rng.uniform(-1, 1, (2, 1, *size))
    assert ssim(a, b) == pytest.approx(plain_ssim(a[0], b[0], 2.0, side), abs=1e-10)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("metric", [max_abs, psnr, ssim])
def test_a_value_that_is_not_finite_makes_the_metric_nan(metric, bad):
    a = np.zeros((1, 12, 12))
    a[0, 3, 4] = bad
    assert math.isnan(metric(a, a))
    assert math.isnan(metric(a, np.zeros_like(a)))


@pytest.mark.parametrize("metric", [max_abs, psnr, ssim])
def test_shapes_that_differ_are_refused(metric):
    with pytest.raises(UserError, match=r"\(1, 12, 12\) with \(1, 12, 13\)"):
        metric(np.zeros((1, 12, 12)), np.zeros((1, 12, 13)))


def test_empty_arrays_do_not_differ_but_are_no_images():
    empty = np.zeros((1, 0, 4))
    assert max_abs(empty, empty) == 0.0
    assert psnr(empty, empty) == math.inf
    with pytest.raises(UserError, match="not images"):
        ssim(empty, empty)


def test_half_is_compared_in_float64():
    a = np.full(2, 60000, np.float16)
    assert max_abs(a, -a) == 120000.0


@pytest.mark.parametrize("data_range", [0.0, -1.0, math.nan])
def test_a_data_range_that_is_none(data_range):
    with pytest.raises(UserError, match="data_range"):
        psnr(np.zeros(3), np.ones(3), data_range)
