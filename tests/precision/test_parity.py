"""Verdicts of compare, and the one error that require raises."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from avatar_export.errors import ParityError, UserError
from avatar_export.precision.parity import Tolerance, compare, require

ONES = np.ones((1, 3, 12, 12), np.float32)


def compared(outputs, expected, tolerance=None, images=frozenset()):
    tolerance = tolerance or Tolerance(max_abs=1e-3)
    return compare("fp16", "b.onnx", "a.onnx", outputs, expected, tolerance, images)


def test_an_output_within_tolerance_passes():
    (parity,) = compared({"y": ONES + 5e-4}, {"y": ONES})
    assert parity.passed
    assert parity.max_abs == pytest.approx(5e-4, rel=1e-3)
    assert parity.psnr_db is None
    assert parity.ssim is None
    require([parity])


def test_an_output_beyond_tolerance_fails():
    (parity,) = compared({"y": ONES + 2e-3}, {"y": ONES})
    assert not parity.passed


def test_images_get_psnr_and_ssim():
    (parity,) = compared({"y": ONES - 0.1}, {"y": ONES}, Tolerance(psnr_db=26.0), {"y"})
    assert parity.psnr_db == pytest.approx(26.02, abs=0.01)
    assert 0.9 < parity.ssim < 1.0
    assert parity.passed
    assert not compared({"y": ONES - 0.1}, {"y": ONES}, Tolerance(psnr_db=26.1), {"y"})[0].passed


def test_both_limits_must_hold():
    tolerance = Tolerance(max_abs=1e-3, psnr_db=20.0)
    (parity,) = compared({"y": ONES - 0.1}, {"y": ONES}, tolerance, {"y"})
    assert not parity.passed


def test_psnr_of_an_output_that_is_no_image_uses_the_span_of_the_reference():
    expected = np.array([0.0, 10.0])
    (parity,) = compared({"y": expected + 0.1}, {"y": expected}, Tolerance(psnr_db=39.0))
    assert parity.psnr_db == pytest.approx(40.0)
    assert parity.passed


@pytest.mark.parametrize("constant", [0.0, 5.0])
def test_psnr_of_a_constant_output_still_fails_when_it_is_wrong(constant):
    expected = np.full(4, constant)
    (parity,) = compared({"y": expected * 2 + 1}, {"y": expected}, Tolerance(psnr_db=30.0))
    assert not parity.passed


def test_missing_and_extra_outputs_fail():
    missing, extra = compared({"b": ONES}, {"a": ONES})
    assert (missing.output, missing.passed) == ("a", False)
    assert (extra.output, extra.passed) == ("b", False)
    assert "missing" in missing.note
    assert "not in the reference" in extra.note


def test_another_shape_fails_with_a_note():
    (parity,) = compared({"y": ONES[:, :2]}, {"y": ONES})
    assert not parity.passed
    assert parity.note == "shape (1, 2, 12, 12) instead of (1, 3, 12, 12)"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_fails_even_when_both_sides_have_it(bad):
    broken = ONES.copy()
    broken[0, 0, 0, 0] = bad
    (parity,) = compared({"y": broken}, {"y": broken}, Tolerance(max_abs=math.inf), {"y"})
    assert not parity.passed
    assert "not finite" in parity.note


def test_require_names_the_worst_output_the_numbers_and_the_tolerance():
    outputs = {"small": ONES + 2e-3, "large": ONES + 0.5, "fine": ONES}
    expected = dict.fromkeys(outputs, ONES)
    with pytest.raises(ParityError) as raised:
        require(compared(outputs, expected))
    assert raised.value.exit_code == 4
    assert raised.value.message == (
        "fp16: output 'large' of b.onnx is not that of a.onnx: max abs 0.5; "
        "allowed max abs <= 0.001 (2 of 3 outputs failed)"
    )


def test_an_output_without_numbers_is_the_worst():
    outputs, expected = {"large": ONES + 1e9}, {"large": ONES, "gone": ONES}
    with pytest.raises(ParityError, match=r"'gone'.*missing from the subject"):
        require(compared(outputs, expected))


def test_comparing_nothing_is_no_success():
    with pytest.raises(ParityError, match="no output was compared"):
        require(compared({}, {}))


def test_the_record_is_legal_json():
    parities = compared(
        {"same": ONES, "nan": ONES * np.nan}, {"same": ONES, "nan": ONES}, images={"same", "nan"}
    )
    same, broken = json.loads(json.dumps([p.to_dict() for p in parities], allow_nan=False))
    assert same["psnr_db"] == "inf"
    assert same["tolerance"] == {"max_abs": 1e-3, "psnr_db": None}
    assert broken["max_abs"] == "nan"
    assert broken["passed"] is False


@pytest.mark.parametrize("limits", [{}, {"max_abs": -1.0}, {"max_abs": math.nan}])
def test_a_tolerance_that_is_none(limits):
    with pytest.raises(UserError):
        Tolerance(**limits)
