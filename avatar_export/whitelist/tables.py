"""The tables of one SDK version, and the targets, as typed rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import TypeVar

from avatar_export.errors import ModelError, UserError
from avatar_export.resources import layer_whitelist
from avatar_export.whitelist.clauses import Clauses, parse
from avatar_export.whitelist.codes import known_codes
from avatar_export.whitelist.finding import Severity
from avatar_export.whitelist.fusions import FusionRow
from avatar_export.whitelist.patterns import parse_pattern
from avatar_export.whitelist.rows import Row, expect_keys, read_rows, read_toml
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView

T = TypeVar("T")


@dataclass(frozen=True)
class LayerRow:
    """What the layer table says of one SNPE operation.

    Attributes:
        cells: ``yes``, ``no``, ``removed``, ``conflict`` or empty (not stated) by runtime column.
    """

    operation: str
    cells: dict[str, str]
    note: str
    source: str


@dataclass(frozen=True)
class Outcome:
    """SNPE operations that an operator becomes when the condition holds; none when it is folded."""

    operations: tuple[str, ...]
    condition: Clauses


@dataclass(frozen=True)
class OperatorRow:
    """What the converter's page says of one ONNX operator.

    Attributes:
        listed: ``yes``, ``no`` (it is known to fail) or ``conflict`` (documents disagree).
        versions: operator versions (``since_version``) in the list.
        becomes: the first outcome whose condition holds counts.
        requires: must hold, or the converter refuses the node.
        cure: pass that mends a node that breaks it; empty when there is none.
    """

    operator: str
    listed: str
    versions: tuple[int, ...]
    becomes: tuple[Outcome, ...]
    requires: Clauses
    note: str
    source: str
    cure: str = ""

    def operations(self, node: NodeView, target: Target) -> tuple[str, ...]:
        """SNPE operations that the node becomes. Raises ``UndeterminedError``."""
        for outcome in self.becomes:
            if not outcome.condition.failure(node, target):
                return outcome.operations
        return ()


@dataclass(frozen=True)
class LimitRow:
    """One rule beyond the two tables, or one fault of the converter.

    Attributes:
        kind: what ``subjects`` names: ONNX ``operator``, SNPE ``operation``, graph ``input`` or
            graph ``output``.
        runtimes: runtime columns that the rule binds.
        severity: None for a fact that is recorded but gives no finding.
        cure: pass that mends it; empty when there is none.
    """

    id: str
    kind: str
    subjects: frozenset[str]
    runtimes: frozenset[str]
    when: Clauses
    requires: Clauses
    code: str
    severity: Severity | None
    reason: str
    fix: str
    cure: str
    source: str

    def binds(self, kind: str, subject: str, runtime: str) -> bool:
        """Whether the rule speaks of the subject on the runtime column."""
        return (
            self.severity is not None
            and self.kind == kind
            and bool(self.subjects & {subject, "*"})
            and bool(self.runtimes & {runtime, "*"})
        )


@dataclass(frozen=True)
class SdkFacts:
    """``sdk.toml``: what holds for an SDK version as a whole.

    Attributes:
        dlc_generation: 1 or 2; a runtime loads DLC files of its own generation only.
        export_opset: operator set to export for it, and ``export_reason`` why.
        runtimes: those that its documents know, by the names of ``targets.toml``.
        source: document and version.
    """

    dlc_generation: int
    export_opset: int
    export_reason: str
    runtimes: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class SdkTables:
    """All tables of one SDK version."""

    version: str
    facts: SdkFacts
    operators: dict[str, OperatorRow]
    layers: dict[str, LayerRow]
    limits: tuple[LimitRow, ...]
    faults: tuple[LimitRow, ...] = ()
    fusions: tuple[FusionRow, ...] = ()
    _bound: dict[tuple[str, str, str], tuple[LimitRow, ...]] = field(default_factory=dict)

    def bound(self, kind: str, subject: str, runtime: str) -> tuple[LimitRow, ...]:
        """Limits, then faults, that speak of the subject on the runtime column."""
        key = (kind, subject, runtime)
        if key not in self._bound:
            self._bound[key] = tuple(row for row in (*self.limits, *self.faults) if row.binds(*key))
        return self._bound[key]


def known_sdks() -> tuple[str, ...]:
    """SDK versions that have tables, oldest first."""
    folders = [p.name for p in layer_whitelist().iterdir() if (p / "layers.csv").is_file()]
    return tuple(sorted(folders, key=lambda name: tuple(map(int, name.split(".")))))


@cache
def load_sdk(version: str) -> SdkTables:
    """Tables of one SDK version.

    Raises:
        UserError: there are none for this version.
        ModelError: a table is damaged.
    """
    if version not in known_sdks():
        raise UserError(f"no tables for SNPE {version}", f"known: {', '.join(known_sdks())}")
    return read_sdk(layer_whitelist() / version)


def read_sdk(folder: Path) -> SdkTables:
    """Tables of one folder.

    Raises:
        ModelError: a file is missing, or a row is malformed; the message names file and row.
    """
    operators = _typed(folder / "onnx_ops.csv", _operator)
    layers = _typed(folder / "layers.csv", _layer)
    return SdkTables(
        folder.name,
        read_facts(folder / "sdk.toml"),
        {row.operator: row for row in operators},
        {row.operation: row for row in layers},
        tuple(_typed(folder / "limits.csv", _limit)),
        tuple(_typed(folder / "faults.csv", _limit)),
        tuple(_typed(folder / "fusions.csv", _fusion)),
    )


def read_facts(path: Path) -> SdkFacts:
    """Facts of one SDK version.

    Raises:
        ModelError: a key is unknown or missing, or has the wrong type; the message names it.
    """
    raw = read_toml(path)
    kinds: dict[object, type] = {"int": int, "str": str, "tuple[str, ...]": list}
    expect_keys(path, "the file", raw, {f.name: kinds[f.type] for f in fields(SdkFacts)})
    listed = raw["runtimes"]
    assert isinstance(listed, list)  # for mypy; checked above
    return SdkFacts(**(raw | {"runtimes": tuple(map(str, listed))}))  # type: ignore[arg-type]


def _typed(path: Path, convert: Callable[[Row], T]) -> list[T]:
    typed = []
    for row in read_rows(path):
        try:
            typed.append(convert(row))
        except ModelError as error:
            first = next(iter(row.values()))
            raise ModelError(f"{path}: row {first}: {error.message}", error.hint) from error
    return typed


def _layer(row: Row) -> LayerRow:
    text = {key: row[key] for key in ("operation", "note", "source")}
    return LayerRow(**text, cells={k: v for k, v in row.items() if k not in text})


def _operator(row: Row) -> OperatorRow:
    return OperatorRow(
        row["operator"],
        row["listed"],
        tuple(int(v) for v in row["versions"].split()),
        tuple(_outcome(text) for text in row["becomes"].split(" else ")),
        parse(row["requires"]),
        row["note"],
        row["source"],
        row["cure"],
    )


def _outcome(text: str) -> Outcome:
    """Read ``Conv3d if rank(0 5 5)``; ``+`` joins operations, ``-`` stands for none."""
    names, _, condition = text.partition(" if ")
    operations = () if names == "-" else tuple(names.split("+"))
    return Outcome(operations, parse(condition))


def _limit(row: Row) -> LimitRow:
    if row["code"] not in {*known_codes(), ""} or bool(row["code"]) == (row["severity"] == "note"):
        raise ModelError(f"code {row['code']!r} does not fit severity {row['severity']}")
    return LimitRow(
        row["id"],
        row["kind"],
        frozenset(row["subject"].split()),
        frozenset(row["runtimes"].split()),
        parse(row["when"]),
        parse(row["requires"]),
        row["code"],
        None if row["severity"] == "note" else Severity(row["severity"]),
        row["reason"],
        row["fix"],
        row["cure"],
        row["source"],
    )


def _fusion(row: Row) -> FusionRow:
    written = {"=": None, "-": ()}
    operations = written.get(row["operations"], tuple(row["operations"].split("+")))
    pattern, when = parse_pattern(row["pattern"]), parse(row["when"])
    return FusionRow(row["id"], pattern, when, operations, row["note"], row["cure"], row["source"])
