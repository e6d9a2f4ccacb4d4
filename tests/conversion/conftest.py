"""The session's conversions, and shortcuts through the slow stages of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatar_export.conversion import convert as stages
from tests.conversion.converted import (
    Converted,
    sample_conversion,
    small_conversion,
    synthetic_runs,
)


@pytest.fixture
def sample_made() -> Converted:
    """The sample, converted for the default target."""
    return sample_conversion()


@pytest.fixture
def small_made() -> Converted:
    """The synthetic run, converted for SNPE 2.35."""
    return small_conversion()


@pytest.fixture
def small_runs() -> tuple[Path, Path]:
    """Base and enhancer run of the synthetic model."""
    return synthetic_runs()


@pytest.fixture
def frames_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the avatar graph, which takes longest, where a test is about the frames."""
    monkeypatch.setattr(stages._Run, "_avatar", lambda self: None)
