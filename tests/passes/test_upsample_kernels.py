"""Each form of one axis, run in numpy by its definition, against repeating and convolving."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from avatar_export.passes.upsample_kernels import Deconvolution, Line, Phases

LINES = st.builds(
    Line,
    size=st.integers(1, 6),
    factor=st.integers(1, 5),
    kernel=st.integers(1, 6),
    dilation=st.integers(1, 3),
    begin=st.integers(0, 7),
    end=st.integers(0, 7),
)


def signals(line: Line) -> tuple[np.ndarray, np.ndarray]:
    """x and w."""
    rng = np.random.default_rng(0)
    return rng.normal(size=line.size), rng.normal(size=line.kernel)


def correlated(x: np.ndarray, w: np.ndarray, begin: int, end: int) -> np.ndarray:
    """What Conv does in one dimension."""
    padded = np.pad(x, (begin, end))
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(w))
    return windows @ w


def expected(line: Line) -> np.ndarray:
    x, w = signals(line)
    filled = np.zeros(line.reach)
    filled[:: line.dilation] = w
    return correlated(x.repeat(line.factor), filled, line.begin, line.end)


def test_a_kernel_of_three_on_doubled_pixels() -> None:
    """Sums of taps that fall on the same pixel: w2, w1 + w2, w0 + w1, w0."""
    line = Line(size=4, factor=2, kernel=3, dilation=1, begin=1, end=1)
    form = Deconvolution(line)
    assert (form.kernel, form.begin, form.end) == (4, 1, 1)
    assert form.matrix().tolist() == [[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]]


def test_its_phases() -> None:
    """The first number of the first phase is cut off, and the last of the second."""
    line = Line(size=4, factor=2, kernel=3, dilation=1, begin=1, end=1)
    form = Phases(line)
    assert (form.kernel, form.begin, form.end) == (2, 1, 1)
    assert (form.skipped, form.length, form.written) == (1, 5, 10)
    even, odd = form.matrix().tolist()
    assert even == [[1, 1, 0], [0, 0, 1]]
    assert odd == [[1, 0, 0], [0, 1, 1]]


@pytest.mark.parametrize(
    ("kernel", "factor", "pads"), [(5, 2, (2, 2)), (3, 1, (1, 1)), (4, 3, (3, 0))]
)
def test_phases_that_fit(kernel: int, factor: int, pads: tuple[int, int]) -> None:
    """Padding by a multiple of the factor, and as many numbers as there are pixels."""
    line = Line(4, factor, kernel, 1, *pads)
    form = Phases(line)
    assert form.skipped == 0
    assert form.written == line.length == 4 * factor


@settings(deadline=None, max_examples=200)
@given(LINES)
def test_any_deconvolution(line: Line) -> None:
    form = Deconvolution(line)
    assume(line.length > 0 and min(form.begin, form.end) >= 0)
    x, w = signals(line)
    kernel = form.matrix() @ w
    y = np.zeros((line.size - 1) * line.factor + form.kernel)
    for i, number in enumerate(x):
        y[i * line.factor :][: form.kernel] += number * kernel
    np.testing.assert_allclose(y[form.begin : len(y) - form.end], expected(line), atol=1e-12)


@settings(deadline=None, max_examples=200)
@given(LINES)
def test_any_phases(line: Line) -> None:
    form = Phases(line)
    assume(line.length > 0)
    x, w = signals(line)
    phases = [correlated(x, kernel, form.begin, form.end) for kernel in form.matrix() @ w]
    assert [len(phase) for phase in phases] == [form.length] * line.factor
    y = np.stack(phases, -1).reshape(-1)
    assert len(y) == form.written
    np.testing.assert_allclose(y[form.skipped :][: line.length], expected(line), atol=1e-12)
