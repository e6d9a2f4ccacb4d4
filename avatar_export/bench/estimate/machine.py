"""Machines that kernels are priced for, from ``machines.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from avatar_export.errors import ModelError, UserError

FILE = Path(__file__).with_name("machines.toml")

USUAL = "usual"
"""Key of the rate of operators that have none of their own."""

# A chip without numbers of its own is priced by those of this one: all of them are GPUs of one
# family, and a choice between equal forms hangs on the ratios of the rates only.
_STAND_IN = "adreno640"


@dataclass(frozen=True)
class Machine:
    """Rates of a runtime on a chip.

    Attributes:
        name: a target of ``layer_whitelist/targets.toml``, or ``onnxruntime``.
        about: what the numbers are of, and how far to trust them.
        element_bytes: of a number in a tensor or a weight.
        channel_pack: channels of an image are stored in groups of so many.
        input_block, output_block: channels that a convolution computes in groups of.
        narrow_inputs: whether an input of fewer channels than a block is multiplied as it is.
        overlaps: whether a kernel computes while it reads and writes, so that only the longer of
            the two counts, and not their sum.
        launch_seconds: of a kernel that does nothing.
        macs_per_second, bytes_per_second: by :attr:`Work.kind`; ``usual`` for all others.
        spread_per_second: numbers a second that a transposed convolution adds up one by one; 0
            where it computes each result in one piece.
        merges: operators that run as part of the layer before them, by the operator of that layer.
        sources: where each of these numbers comes from, by its name.
        borrowed: name of the machine whose numbers these are; empty for its own.
    """

    name: str
    about: str
    element_bytes: int
    channel_pack: int
    input_block: int
    output_block: int
    narrow_inputs: bool
    overlaps: bool
    launch_seconds: float
    macs_per_second: Mapping[str, float]
    bytes_per_second: Mapping[str, float]
    spread_per_second: float
    merges: Mapping[str, frozenset[str]]
    sources: Mapping[str, str]
    borrowed: str = ""

    def mac_rate(self, kind: str) -> float:
        """Multiply-adds a second that a large node of this kind reaches."""
        return self.macs_per_second.get(kind, self.macs_per_second[USUAL])

    def byte_rate(self, kind: str) -> float:
        """Bytes a second that a large node of this kind reads and writes."""
        return self.bytes_per_second.get(kind, self.bytes_per_second[USUAL])

    def is_merged(self, operator: str, layer: str) -> bool:
        """Whether an operator costs no kernel of its own right behind a layer."""
        return operator in self.merges.get(layer, ())


@cache
def load_machines() -> dict[str, Machine]:
    """Every machine that has numbers of its own, by name."""
    return read_machines(FILE)


def find_machine(name: str) -> Machine:
    """A machine that has numbers of its own.

    Raises:
        UserError: there is none of this name; the hint lists them.
    """
    machines = load_machines()
    if name not in machines:
        raise UserError(f"no numbers for a machine {name!r}", f"known: {', '.join(machines)}")
    return machines[name]


def machine_for(name: str) -> Machine:
    """The machine of a target; one without numbers borrows all of them, and names the lender."""
    machines = load_machines()
    if name in machines:
        return machines[name]
    return replace(machines[_STAND_IN], name=name, borrowed=_STAND_IN)


def read_machines(path: Path) -> dict[str, Machine]:
    """Machines of a file by name, each entry checked.

    Raises:
        ModelError: the file is missing or malformed; a key is unknown or missing; a value has the
            wrong type or is out of range; a number has no source. The message names it.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from error
    return {name: _machine(f"{path}: {name}", name, entry) for name, entry in entries.items()}


# What a machine's numbers must be; the words are for the message.
_POSITIVE = "a positive number"
_WHOLE = "a positive whole number"
_FLAG = "true or false"
_RATES = "a table of positive numbers, one of them usual"
_KINDS = {
    "element_bytes": _WHOLE,
    "channel_pack": _WHOLE,
    "input_block": _WHOLE,
    "output_block": _WHOLE,
    "narrow_inputs": _FLAG,
    "overlaps": _FLAG,
    "launch_seconds": _POSITIVE,
    "macs_per_second": _RATES,
    "bytes_per_second": _RATES,
    "spread_per_second": "a number that is not negative",
    "merges": "a table of lists of operators",
}
_WORDS = {"about": "a text", "sources": "a table of texts"}


def _machine(where: str, name: str, entry: object) -> Machine:
    expected = _KINDS | _WORDS
    if not isinstance(entry, dict):
        raise ModelError(f"{where} must be a table")
    _expect_keys(where, entry, expected)
    for key, kind in expected.items():
        if not _is(kind, entry[key]):
            raise ModelError(f"{where}: {key} must be {kind}")
    _expect_keys(f"{where}: sources", entry["sources"], _KINDS)
    merges = {layer: frozenset(names) for layer, names in entry["merges"].items()}
    return Machine(**{**entry, "name": name, "merges": merges})


def _expect_keys(where: str, entry: Mapping[str, object], expected: Mapping[str, str]) -> None:
    missing = [f"{key} is missing" for key in expected if key not in entry]
    unknown = [f"{key} is unknown" for key in entry if key not in expected]
    if missing or unknown:
        raise ModelError(f"{where}: {', '.join(missing + unknown)}")


def _is(kind: str, value: object) -> bool:
    if kind == _RATES:
        return isinstance(value, dict) and USUAL in value and all(map(_positive, value.values()))
    if kind == _WHOLE:
        return type(value) is int and value > 0
    if kind == _POSITIVE:
        return _positive(value)
    if kind == _FLAG:
        return type(value) is bool
    if kind == _KINDS["spread_per_second"]:
        return value == 0 or _positive(value)
    if kind == _KINDS["merges"]:
        return isinstance(value, dict) and all(_texts(names) for names in value.values())
    if kind == _WORDS["sources"]:
        return isinstance(value, dict) and _texts(list(value.values()))
    return isinstance(value, str)


def _positive(value: object) -> bool:
    return type(value) in (int, float) and value > 0  # type: ignore[operator]


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) and text for text in value)
