"""``dlc_operations.toml``: what the operations of a DLC are called elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from avatar_export.errors import ModelError
from avatar_export.resources import layer_whitelist
from avatar_export.whitelist.codes import known_codes
from avatar_export.whitelist.network.graph import Parameters
from avatar_export.whitelist.rows import read_toml

T = TypeVar("T")

FIXED, FLOAT = "fixed", "float"
_OWN_PACKAGE = "qti.aisw"
_PACKAGE = "packageName"


@dataclass(frozen=True)
class StoredType:
    """A type that stands for several operations; ``operations`` is empty where they are spelled."""

    parameter: str
    operations: tuple[str, ...] = ()

    def operation(self, stored: str, parameters: Parameters) -> str:
        """Name in the layer table; a code without a name is told with the type."""
        code = parameters.get(self.parameter)
        if isinstance(code, str) and code and not self.operations:
            return code
        if isinstance(code, int) and 0 <= code < len(self.operations):
            return self.operations[code]
        told = code if isinstance(code, (int, float, str)) else "unknown"
        return f"{stored} ({self.parameter} {told})"


@dataclass(frozen=True)
class AttributeRule:
    """How one ONNX attribute is read.

    Attributes:
        stored: names in the DLC.
        form: ``axis``, ``axes``, ``order``, ``input 1`` or ``kernel``; empty for a plain value.
        values: ONNX value by the stored codes, parted by spaces; empty to take the code itself.
        absent: value where the DLC stores none; None when that leaves it unknown.
    """

    stored: tuple[str, ...] = ()
    form: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    absent: int | None = None


@dataclass(frozen=True)
class OperationRow:
    """What is particular about one operation; see the head of the file for the columns."""

    early: str = ""
    weight: tuple[int, ...] = ()
    macs: str = ""
    plain: bool = False
    inputs: str = ""
    attributes: Mapping[str, AttributeRule] = field(default_factory=dict)


@dataclass(frozen=True)
class PrecisionRow:
    """What some runtimes make of quantised or float tensors.

    Attributes:
        tensors: ``fixed``, and it is said of each operation that has one; or ``float``, and it is
            said of the network.
    """

    runtimes: tuple[str, ...]
    tensors: str
    code: str
    reason: str
    fix: str
    source: str


@dataclass(frozen=True)
class OperationTable:
    """The whole file."""

    types: Mapping[str, StoredType]
    operations: Mapping[str, OperationRow]
    precision: tuple[PrecisionRow, ...]

    def name(self, stored: str, parameters: Parameters) -> str:
        """Name in the layer tables of a stored type; one of a foreign package carries its name."""
        package = parameters.get(_PACKAGE, "")
        if package not in ("", _OWN_PACKAGE):
            return f"{package}::{stored}"
        merged = self.types.get(stored)
        return merged.operation(stored, parameters) if merged else stored

    def row(self, operation: str) -> OperationRow:
        """What is particular about an operation; nothing where it is not listed."""
        return self.operations.get(operation, _NOTHING)


_NOTHING = OperationRow()


@cache
def load_operation_table() -> OperationTable:
    """The table that travels with the package. Raises ``ModelError`` when it is damaged."""
    return read_operation_table(layer_whitelist() / "dlc_operations.toml")


def read_operation_table(path: Path) -> OperationTable:
    """Read a file.

    Raises:
        ModelError: a key is unknown or missing, or a code of a finding is unknown.
    """
    raw: dict[str, Any] = read_toml(path)
    try:
        table = OperationTable(
            {k: _built(StoredType, v) for k, v in raw.pop("types").items()},
            {k: _operation(v) for k, v in raw.pop("operations").items()},
            tuple(_built(PrecisionRow, v) for v in raw.pop("precision")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: {error}") from error
    unknown = {*raw, *({row.code for row in table.precision} - set(known_codes()))}
    if unknown:
        raise ModelError(f"{path}: unknown: {', '.join(sorted(unknown))}")
    return table


def _operation(entry: dict[str, Any]) -> OperationRow:
    attributes = {k: _attribute(v) for k, v in entry.pop("attributes", {}).items()}
    return _built(OperationRow, {**entry, "attributes": attributes})


def _attribute(entry: dict[str, Any]) -> AttributeRule:
    renamed = {"from": "stored", "as": "form"}
    return _built(AttributeRule, {renamed.get(k, k): v for k, v in entry.items()})


def _built(kind: Callable[..., T], entry: dict[str, Any]) -> T:
    """A dataclass of the entry, its lists as tuples."""
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()})
