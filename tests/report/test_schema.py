"""The JSON files are what their schemas say, and the schemas know every field."""

from __future__ import annotations

import json

import pytest

from tests.conversion.converted import Converted, sample_conversion
from tests.report.schemas import complaints


@pytest.fixture
def sample_made() -> Converted:
    """The sample, converted once for all tests that look at it."""
    return sample_conversion()


@pytest.mark.parametrize("name", ["report", "manifest"])
def test_a_real_file_fits(name: str, sample_made: Converted) -> None:
    content = json.loads((sample_made.folder / f"{name}.json").read_text(encoding="utf-8"))
    assert complaints(name, content) == []


@pytest.mark.parametrize("name", ["report", "manifest"])
def test_a_missing_and_an_unknown_field_are_seen(name: str, sample_made: Converted) -> None:
    content = json.loads((sample_made.folder / f"{name}.json").read_text(encoding="utf-8"))
    content["new"] = content.pop("run")
    assert len(complaints(name, content)) == 2
