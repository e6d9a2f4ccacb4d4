"""The JSON files are what their schemas say, and the schemas know every field."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import avatar_export
from tests.conversion.converted import Converted, sample_conversion


@pytest.fixture
def sample_made() -> Converted:
    """The sample, converted once for all tests that look at it."""
    return sample_conversion()


SCHEMAS = Path(avatar_export.__file__).parent / "report" / "schema"


def strict(schema: Any) -> Any:
    """The schema with unknown fields refused: readers must allow them, we must describe them."""
    schema = copy.deepcopy(schema)
    stack = [schema]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            if "properties" in part:
                part["additionalProperties"] = False
            stack += part.values()
        elif isinstance(part, list):
            stack += part
    return schema


def complaints(name: str, content: Any) -> list[str]:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(strict(schema))
    return [f"{e.json_path}: {e.message[:200]}" for e in validator.iter_errors(content)]


@pytest.mark.parametrize("name", ["report", "manifest"])
def test_a_real_file_fits(name: str, sample_made: Converted) -> None:
    content = json.loads((sample_made.folder / f"{name}.json").read_text(encoding="utf-8"))
    assert complaints(name, content) == []


@pytest.mark.parametrize("name", ["report", "manifest"])
def test_a_missing_and_an_unknown_field_are_seen(name: str, sample_made: Converted) -> None:
    content = json.loads((sample_made.folder / f"{name}.json").read_text(encoding="utf-8"))
    content["new"] = content.pop("run")
    assert len(complaints(name, content)) == 2
