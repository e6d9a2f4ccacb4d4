"""Holds files against schemas: ours, and those of tests/data/schemas."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema

import avatar_export

OURS = Path(avatar_export.__file__).parent / "report" / "schema"
FOREIGN = Path(__file__).parent.parent / "data" / "schemas"


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


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
    """What keeps the content from fitting one of our schemas, unknown fields included."""
    schema = load(OURS / f"{name}.schema.json")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(strict(schema))
    return [f"{e.json_path}: {e.message[:200]}" for e in validator.iter_errors(content)]


def renamed(content: Any, path: tuple[Any, ...]) -> Any:
    """A copy in which the field at ``path`` is called ``new``: one field less, and one more."""
    copied = copy.deepcopy(content)
    parent = copied
    for key in path[:-1]:
        parent = parent[key]
    parent["new"] = parent.pop(path[-1])
    return copied
