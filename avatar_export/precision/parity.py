"""Does a step keep the result? One verdict an output, and an error that names the worst."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from avatar_export.errors import ParityError, UserError
from avatar_export.precision.metrics import max_abs, psnr, ssim

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

_IMAGE_RANGE = 2.0  # images of this package live in [-1, 1]


@dataclass(frozen=True)
class Tolerance:
    """What a step may change: both limits hold where both are given.

    Args:
        max_abs: largest absolute difference allowed, in the unit of the output.
        psnr_db: smallest PSNR allowed, in dB.

    Raises:
        UserError: neither limit is given, or one is not a usable number.
    """

    max_abs: float | None = None
    psnr_db: float | None = None

    def __post_init__(self) -> None:
        if self.max_abs is None and self.psnr_db is None:
            raise UserError("a tolerance needs max_abs, psnr_db, or both")
        if self.max_abs is not None and not self.max_abs >= 0.0:
            raise UserError(f"max_abs must be zero or above, not {self.max_abs}")
        if self.psnr_db is not None and math.isnan(self.psnr_db):
            raise UserError("psnr_db must be a number of dB, not nan")

    def __str__(self) -> str:
        limits = []
        if self.max_abs is not None:
            limits.append(f"max abs <= {self.max_abs:.3g}")
        if self.psnr_db is not None:
            limits.append(f"PSNR >= {self.psnr_db:.1f} dB")
        return ", ".join(limits)

    def admits(self, error: float, psnr_db: float | None) -> bool:
        """Whether both numbers keep their limits; nan or a missing number never does."""
        if self.max_abs is not None and not error <= self.max_abs:
            return False
        return self.psnr_db is None or (psnr_db is not None and psnr_db >= self.psnr_db)


@dataclass(frozen=True)
class Parity:
    """One output of one step, compared.

    Args:
        step: what was done, such as ``fp16``.
        output: name of the output tensor.
        subject: what was judged, such as ``frame.fp16.onnx``.
        reference: what it was judged against.
        max_abs: largest absolute difference; nan when the two could not be subtracted.
        psnr_db: PSNR in dB over the range 2.0 of an image, or over the span of the reference for
            any other output, where the tolerance asks for it; otherwise None.
        ssim: structural similarity of an image output, otherwise None.
        tolerance: the limits it was judged by.
        passed: the verdict.
        note: why there are no numbers: missing, extra, shape, non-finite; empty otherwise.
    """

    step: str
    output: str
    subject: str
    reference: str
    max_abs: float
    psnr_db: float | None
    ssim: float | None
    tolerance: Tolerance
    passed: bool
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The fields as legal JSON: a number that is not finite becomes "nan", "inf" or "-inf"."""
        fields = asdict(self)
        for key in ("max_abs", "psnr_db", "ssim"):
            fields[key] = _legal(fields[key])
        fields["tolerance"] = {key: _legal(limit) for key, limit in fields["tolerance"].items()}
        return fields


def compare(
    step: str,
    subject: str,
    reference: str,
    outputs: Mapping[str, NDArray[Any]],
    expected: Mapping[str, NDArray[Any]],
    tolerance: Tolerance,
    images: Collection[str] = frozenset(),
) -> list[Parity]:
    """Compare every output with its reference, in the order of ``expected``, then the extra ones.

    An output that only one side has, whose shape differs, or that holds a non-finite value is a
    failure with a note, never dropped.

    Args:
        outputs: what the subject gave, by name.
        expected: what the reference gave, by name.
        images: names whose tensors are images [N,C,H,W] or [C,H,W] in [-1, 1].
    """
    verdicts = []
    for name in [*expected, *(name for name in outputs if name not in expected)]:
        numbers = _measure(outputs.get(name), expected.get(name), name in images, tolerance)
        verdicts.append(
            Parity(
                step=step,
                output=name,
                subject=subject,
                reference=reference,
                max_abs=numbers.max_abs,
                psnr_db=numbers.psnr_db,
                ssim=numbers.ssim,
                tolerance=tolerance,
                passed=tolerance.admits(numbers.max_abs, numbers.psnr_db),
                note=numbers.note,
            )
        )
    return verdicts


def require(parities: Sequence[Parity]) -> None:
    """Return when every comparison passed.

    Raises:
        ParityError: one failed (the message names the worst), or nothing was compared.
    """
    if not parities:
        raise ParityError("parity was asked for, but no output was compared")
    failed = [parity for parity in parities if not parity.passed]
    if not failed:
        return
    worst = max(failed, key=_badness)
    others = f" ({len(failed)} of {len(parities)} outputs failed)" if len(parities) > 1 else ""
    raise ParityError(
        f"{worst.step}: output {worst.output!r} of {worst.subject} is not that of "
        f"{worst.reference}: {_told(worst)}; allowed {worst.tolerance}{others}",
        "nothing was written; the numbers above say which step changed the result",
    )


@dataclass(frozen=True)
class _Numbers:
    max_abs: float = math.nan
    psnr_db: float | None = None
    ssim: float | None = None
    note: str = ""


def _measure(
    output: NDArray[Any] | None,
    expected: NDArray[Any] | None,
    image: bool,
    tolerance: Tolerance,
) -> _Numbers:
    """The numbers of one output, or a note that says why there are none."""
    if output is None:
        return _Numbers(note="missing from the subject")
    if expected is None:
        return _Numbers(note="not in the reference")
    if np.shape(output) != np.shape(expected):
        return _Numbers(note=f"shape {np.shape(output)} instead of {np.shape(expected)}")
    error = max_abs(output, expected)
    if math.isnan(error):
        return _Numbers(note="holds values that are not finite")
    span = _IMAGE_RANGE if image else _span(expected)
    asked = image or tolerance.psnr_db is not None
    return _Numbers(
        max_abs=error,
        psnr_db=psnr(output, expected, span) if asked else None,
        ssim=ssim(output, expected, span) if image else None,
    )


def _span(expected: NDArray[Any]) -> float:
    """Largest minus smallest value: the data range of an output that is not an image."""
    values = np.asarray(expected, np.float64)
    # A constant output has no span: then a deviation counts against its own size, or against 1.
    return float(np.ptp(values)) or float(np.max(np.abs(values), initial=0.0)) or 1.0


def _badness(parity: Parity) -> tuple[bool, float]:
    """Sort key: outputs without numbers first, then by how many times the limit is exceeded."""
    ratios = [0.0]
    if parity.tolerance.max_abs is not None:
        ratios.append(parity.max_abs / max(parity.tolerance.max_abs, 1e-300))
    if parity.tolerance.psnr_db is not None and parity.psnr_db is not None:
        ratios.append(10.0 ** ((parity.tolerance.psnr_db - parity.psnr_db) / 20.0))
    return bool(parity.note), max(ratios)


def _told(parity: Parity) -> str:
    if parity.note:
        return parity.note
    numbers = [f"max abs {parity.max_abs:.3g}"]
    if parity.psnr_db is not None:
        numbers.append(f"PSNR {parity.psnr_db:.1f} dB")
    if parity.ssim is not None:
        numbers.append(f"SSIM {parity.ssim:.4f}")
    return ", ".join(numbers)


def _legal(number: float | None) -> float | str | None:
    """JSON has no nan and no infinity: they become strings."""
    return number if number is None or math.isfinite(number) else str(number)
