"""CSV files of ``layer_whitelist/`` read against its ``schema.toml``."""

from __future__ import annotations

import csv
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from avatar_export.errors import ModelError
from avatar_export.resources import layer_whitelist

Row = dict[str, str]


@dataclass(frozen=True)
class Column:
    """What a cell may hold.

    Attributes:
        about: meaning, for readers of the schema.
        pattern: regular expression that the whole cell must match.
        values: allowed values, when they are few; empty for free text.
    """

    about: str
    pattern: str = ".*"
    values: tuple[str, ...] = ()

    def accepts(self, cell: str) -> bool:
        """Whether the cell is well-formed."""
        return (not self.values or cell in self.values) and bool(re.fullmatch(self.pattern, cell))


@dataclass(frozen=True)
class Table:
    """Columns of one kind of file, and those that name a row uniquely."""

    key: tuple[str, ...]
    columns: dict[str, Column]


def read_toml(path: Path) -> dict[str, object]:
    """Parse a TOML file of the whitelist.

    Raises:
        ModelError: the file is missing or malformed.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from error


@cache
def schema() -> dict[str, Table]:
    """Tables of ``schema.toml`` by file name without suffix."""
    return {
        name: Table(tuple(table["key"]), {c: _column(v) for c, v in table["columns"].items()})
        for name, table in read_toml(layer_whitelist() / "schema.toml").items()
        if isinstance(table, dict)
    }


def _column(entry: dict[str, object]) -> Column:
    values = entry.get("values", ())
    listed = tuple(str(v) for v in values) if isinstance(values, list) else ()
    return Column(str(entry["about"]), str(entry.get("pattern", ".*")), listed)


def read_rows(path: Path) -> list[Row]:
    """Rows of a CSV file, each checked cell by cell.

    Raises:
        ModelError: the file is missing; a column is unknown or missing; a cell has a bad value; two
            rows have one key. The message names file and line.
    """
    table = schema()[path.stem]
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            _check_header(path, table, reader.fieldnames or ())
            rows = [_checked(f"{path}:{reader.line_num}", table, row) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise ModelError(f"{path}: {error}") from error
    _check_unique(path, table, rows)
    return rows


def _check_header(path: Path, table: Table, names: object) -> None:
    if tuple(names if isinstance(names, (list, tuple)) else ()) != tuple(table.columns):
        expected = ",".join(table.columns)
        raise ModelError(f"{path}:1: unexpected columns", f"the header must be {expected}")


def _checked(where: str, table: Table, row: Row) -> Row:
    if set(row) != set(table.columns) or None in row.values():
        raise ModelError(f"{where}: expected {len(table.columns)} cells")
    for name, column in table.columns.items():
        if not column.accepts(row[name]):
            allowed = " ".join(repr(v) for v in column.values) or column.pattern
            raise ModelError(f"{where}: {name} is {row[name]!r}", f"allowed: {allowed}")
    return row


def _check_unique(path: Path, table: Table, rows: list[Row]) -> None:
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        key = tuple(row[name] for name in table.key)
        if key in seen:
            raise ModelError(f"{path}: two rows for {' '.join(key)}")
        seen.add(key)


def expect_keys(path: Path, what: str, entry: object, types: dict[str, type]) -> None:
    """Raise ``ModelError`` unless the entry is a table of exactly these keys and types."""
    if not isinstance(entry, dict) or set(entry) != set(types):
        raise ModelError(f"{path}: {what}: the keys must be {', '.join(types)}")
    for key, kind in types.items():
        if type(entry[key]) is not kind:
            raise ModelError(f"{path}: {what}: {key} must be of type {kind.__name__}")
