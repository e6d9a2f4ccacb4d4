"""The page of a code: for ``check --explain``, and as a file of ``docs/checks/``.

``python -m avatar_export.checking.explain docs/checks`` writes every page and their index.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from avatar_export.files import write_atomically
from avatar_export.whitelist.codes import Code, find_code, known_codes
from avatar_export.whitelist.tables import LimitRow, known_sdks, load_sdk

# Codes that the plain tables give, besides those that rows carry: where, in layer_whitelist/.
_TABLES = {
    "AX101": "An operator without a row in `onnx_ops.csv`, or with `no` in its column `listed`.",
    "AX102": "The column `versions` of `onnx_ops.csv`.",
    "AX103": "A cell `no` of `layers.csv`.",
    "AX105": "The column `requires` of `onnx_ops.csv`, besides the rules below.",
    "AX107": "A cell `conflict` of `layers.csv` or `onnx_ops.csv`, besides the rules below.",
    "AX108": "An empty cell of `layers.csv`, or an operation without a row.",
    "AX110": "Any rule that asks for a shape, type or value which the file does not hold.",
}


@dataclass(frozen=True)
class Rule:
    """A row as it stands in the tables of one or more versions.

    Attributes:
        sources: where it was read, for all the versions together.
    """

    row: LimitRow
    versions: tuple[str, ...]
    sources: tuple[str, ...]

    def to_markdown(self) -> str:
        """One item of a list."""
        row = self.row
        subjects = ", ".join("any" if s == "*" else f"`{s}`" for s in sorted(row.subjects))
        runtimes = ", ".join("every runtime" if r == "*" else r for r in sorted(row.runtimes))
        lines = [
            f"- **{row.id}** ({row.severity}), {row.kind}: {subjects}. {_sentence(row.reason)}",
            f"  SNPE {', '.join(self.versions)}; {runtimes}.",
        ]
        if row.fix:
            lines.append(f"  Advice: {_sentence(row.fix, False)}")
        lines.append(f"  Source: {'; '.join(self.sources)}.")
        return "\n".join(lines)


def _sentence(text: str, capital: bool = True) -> str:
    """With a full stop, and a capital unless it begins with a name of the field."""
    named = "_" in text.partition(" ")[0]
    start = text[0].upper() if capital and not named else text[0]
    return f"{start}{text[1:]}" + ("" if text.endswith(".") else ".")


def rules(code: str) -> list[Rule]:
    """Every rule that gives findings of the code, those of several versions together."""
    rows = [
        (version, row)
        for version in known_sdks()
        for row in (*load_sdk(version).limits, *load_sdk(version).faults)
        if row.code == code
    ]
    rows.sort(key=lambda pair: _identity(pair[1]))
    grouped = [list(pairs) for _, pairs in groupby(rows, key=lambda pair: _identity(pair[1]))]
    return [_merged(pairs) for pairs in grouped]


def _identity(row: LimitRow) -> tuple[object, ...]:
    """What must agree for rows of two versions to be told as one; it sorts G2 before G10."""
    letter, number, rest = re.findall(r"^(\D*)(\d*)(.*)$", row.id)[0]
    names = sorted(row.subjects), sorted(row.runtimes)
    return letter, int(number or 0), rest, row.reason, str(row.severity), row.fix, row.cure, *names


def _merged(pairs: Iterable[tuple[str, LimitRow]]) -> Rule:
    versions, rows = zip(*pairs, strict=True)
    sources = [source for row in rows for source in row.source.split("; ")]
    return Rule(rows[0], versions, tuple(dict.fromkeys(sources)))


def page(code: str) -> str:
    """The page of a code, in Markdown.

    Raises:
        UserError: there is no such code; the hint lists the known ones.
    """
    known = find_code(code)
    found = rules(known.code)
    cures = sorted({rule.row.cure for rule in found if rule.row.cure})
    parts = [
        f"# {known.code}: {known.title}",
        known.why,
        f"**What to do.** {known.remedy}",
        _cures(cures) if cures else "",
        _TABLES.get(known.code, ""),
        "## Rules" if found else "",
        "\n".join(rule.to_markdown() for rule in found),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cures(names: Iterable[str]) -> str:
    """What ``check --fix`` applies, by the first line of each pass's docstring."""
    # Here, not above: only this part of a page needs the passes.
    from avatar_export.passes.cures.order import cure_titles

    titles = cure_titles()
    lines = [f"- `{name}`: {titles[name]}" for name in names]
    return "\n".join(["`check --fix` applies", "", *lines])


def index(codes: Iterable[Code]) -> str:
    """The list of pages, in Markdown."""
    rows = [f"| [{code.code}]({code.code}.md) | {code.title} |" for code in codes]
    head = "Made from `layer_whitelist/` by `python -m avatar_export.checking.explain docs/checks`."
    table = ["| code | meaning |", "|---|---|", *rows]
    return "\n".join(["# Codes of findings", "", head, "", *table, ""])


def pages() -> dict[str, str]:
    """Every file of ``docs/checks/`` by name."""
    codes = known_codes()
    return {"README.md": index(codes.values())} | {f"{code}.md": page(code) for code in codes}


if __name__ == "__main__":
    for name, text in pages().items():
        write_atomically(Path(sys.argv[1]) / name, text.encode())
