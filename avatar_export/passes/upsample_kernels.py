"""Kernels that do what repeating pixels and then convolving does.

All in one dimension; an image takes one matrix for its rows and one for its columns. With
u[j] = x[floor(j / f)] the repeated signal, and w of size K, padded by p zeros on the left,

    y[o] = sum over k of w[k] u[o + k - p]

is linear in w, and so is the kernel of every form that computes y from x. Each function below gives
the matrix from w to that kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One axis of the pattern: ``size`` pixels, each repeated ``factor`` times, then convolved.

    Attributes:
        kernel: taps of the convolution.
        dilation: their distance.
        begin, end: padding of the repeated signal.
    """

    size: int
    factor: int
    kernel: int
    dilation: int
    begin: int
    end: int

    @property
    def reach(self) -> int:
        """Taps of the kernel with its gaps filled."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def length(self) -> int:
        """Numbers of y."""
        return self.factor * self.size + self.begin + self.end - self.reach + 1


@dataclass(frozen=True)
class Deconvolution:
    """y as ConvTranspose(x) with stride ``factor``."""

    line: Line

    @property
    def kernel(self) -> int:
        return self.line.reach + self.line.factor - 1

    @property
    def begin(self) -> int:
        """Numbers cut off at the beginning; below 0 there is no such form."""
        return self.line.reach - 1 - self.line.begin

    @property
    def end(self) -> int:
        return self.line.reach - 1 - self.line.end

    def matrix(self) -> Matrix:
        """[kernel, taps]: W[s] = sum over r < f of w[r - s + K - 1].

        x[i] reaches y[o] through every repeated pixel j = f i + r with j = o + k - p, and a
        transposed convolution lets it through W[o - f i + begin].
        """
        filled = _filled(self.line)
        matrix = np.zeros((self.kernel, self.line.reach))
        for s in range(self.kernel):
            for r in range(self.line.factor):
                if 0 <= (k := r - s + self.line.reach - 1) < self.line.reach:
                    matrix[s, k] += 1
        return matrix @ filled


@dataclass(frozen=True)
class Phases:
    """y as ``factor`` interleaved signals, each a convolution of x with few taps.

    The interleaved signal is longer than y: ``skipped`` numbers are cut off at its beginning, as
    many as make all phases read the same window of x, and a few more at its end.
    """

    line: Line

    @property
    def skipped(self) -> int:
        return -self.line.begin % self.line.factor

    @property
    def kernel(self) -> int:
        return (self.line.factor + self.line.reach - 2) // self.line.factor + 1

    @property
    def length(self) -> int:
        """Numbers of each phase."""
        return -(-(self.line.length + self.skipped) // self.line.factor)

    @property
    def written(self) -> int:
        """Numbers of all phases together."""
        return self.line.factor * self.length

    @property
    def begin(self) -> int:
        """Padding of x."""
        return (self.line.begin + self.skipped) // self.line.factor

    @property
    def end(self) -> int:
        """Padding of x; 0 or more, because the last phase looks as far ahead as y does."""
        return self.length - self.line.size - self.begin + self.kernel - 1

    def matrix(self) -> Matrix:
        """[phases, kernel, taps]: in phase a the tap k falls on x number floor((a + k) / f)."""
        filled = _filled(self.line)
        matrix = np.zeros((self.line.factor, self.kernel, self.line.reach))
        for a in range(self.line.factor):
            for k in range(self.line.reach):
                matrix[a, (a + k) // self.line.factor, k] = 1
        return matrix @ filled


def _filled(line: Line) -> Matrix:
    """[reach, taps]: the kernel with zeros where its dilation leaves gaps."""
    return np.eye(line.reach)[:, :: line.dilation]
