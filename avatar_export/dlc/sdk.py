"""Write a DLC with the snpe-onnx-to-dlc of an SNPE or QAIRT SDK.

Facts on the SDK trees come from public copies of SNPE 1.17.0, SNPE 2.5.0.4052 and QAIRT 2.25.0:
``bin/envsetup.sh`` (environment), ``ReleaseNotes.txt`` (a line ``SNPE 2.5.0``), ``sdk.yaml`` (a
line ``version: 2.25.0``, from 2.1x on) and the converter's own argument parser.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avatar_export.dlc import container, interface, netd
from avatar_export.dlc.process import Outcome, run_tool
from avatar_export.dlc.record import DlcWriter, release
from avatar_export.errors import MissingDependency, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLES = ("SNPE_ROOT", "QAIRT_SDK_ROOT", "QNN_SDK_ROOT")
"""Environment variables that may name an SDK; the first one set decides."""
PYTHON_VARIABLE = "SNPE_PYTHON"
"""Names the interpreter for the converter, when the one it finds as python3 does not suit it."""
TIMEOUT = 3600.0

_HOST = "x86_64-linux-clang"
_CONVERTER = Path("bin", _HOST, "snpe-onnx-to-dlc")
_NEW_SPELLING_SINCE = (1, 32)
_OLD_OPTIONS = ("--model_path", "--dlc_path")
_NEW_OPTIONS = ("--input_network", "--output_path")

_RELEASE = re.compile(r"\d+\.\d+\.\d+(?:\.\d+)*")
_NOT_STARTED = (126, 127)
"""Exit statuses by which /usr/bin/env says that there is no such interpreter."""
_LOG = re.compile(r"^\d{4}-\d\d-\d\d [\d:,]+ - (?:\d+ - )?(?P<level>[A-Z]+) - (?P<text>.*)$")
_UNKNOWN_OP = re.compile(r"No translation registered for op type (?:onnx_)?(\w+)")
_EXCEPTION = re.compile(r"^(?:Encountered Error: |[A-Za-z_.]*(?:Error|Exception): )")
_WRONG_PYTHON = re.compile(
    r"Failed to find necessary python package|No module named|Could not find .* package"
)


@dataclass(frozen=True)
class Console:
    """What a converter said, by the level of its log lines, without time and line number."""

    warnings: tuple[str, ...]
    errors: tuple[str, ...]


def find(environ: Mapping[str, str] = os.environ) -> DlcWriter | None:
    """The SDK that the environment names, or None when it names none.

    Raises:
        MissingDependency: SNPE_ROOT or QAIRT_SDK_ROOT is set, but holds no snpe-onnx-to-dlc. (A
            QNN_SDK_ROOT may rightly be an SDK without the SNPE tools, and is then passed over.)
    """
    for variable in VARIABLES:
        root = Path(environ.get(variable, ""))
        if not environ.get(variable):
            continue
        if (root / _CONVERTER).is_file():
            version = read_version(root)
            return DlcWriter("snpe-onnx-to-dlc", version, root.resolve(), f"{variable}={root}")
        if variable != "QNN_SDK_ROOT":
            raise MissingDependency(
                f"{variable}={root} holds no {_CONVERTER}",
                f"set {variable} to the folder of an unpacked SNPE or QAIRT SDK, or unset it",
            )
    return None


def read_version(root: Path) -> str:
    """Version of the SDK in ``root``, such as ``2.5.0``; empty when the tree does not tell.

    ``sdk.yaml`` comes before ``ReleaseNotes.txt``, and that before the name of the folder
    (``snpe-1.43.0.2307``), which people change.
    """
    sources = (
        ("sdk.yaml", re.compile(r"^version:\s*['\"]?(\d+(?:\.\d+)+)", re.MULTILINE)),
        ("ReleaseNotes.txt", re.compile(r"^(?:SNPE|QAIRT)\s+(\d+(?:\.\d+)+)\s*$", re.MULTILINE)),
    )
    for name, pattern in sources:
        match = pattern.search(_head(root / name))
        if match:
            return match[1]
    named = _RELEASE.search(root.resolve().name)
    return named[0] if named else ""


def convert(
    writer: DlcWriter,
    onnx_path: Path,
    work: Path,
    name: str,
    *,
    environ: Mapping[str, str] = os.environ,
    timeout: float = TIMEOUT,
) -> tuple[bytes, tuple[str, ...]]:
    """(the bytes of the DLC as the converter wrote them, its warnings).

    Args:
        writer: as `find` returned it.
        work: an empty folder for intermediate files.
        name: file name of the DLC; 2.x converters store its stem as the name of the graph.
        timeout: seconds for the converter.

    Raises:
        MissingDependency: the converter cannot be started, or its Python lacks a package.
        ModelError: the converter failed (the operator is named where it names one), hung, or wrote
            no readable DLC.
    """
    out = work / name
    interpreter = environ.get(PYTHON_VARIABLE)
    options = zip(_options(writer.version), (str(onnx_path.resolve()), str(out)), strict=True)
    command = [
        *([interpreter] if interpreter else []),
        str(writer.root / _CONVERTER),
        *(word for option in options for word in option),
    ]
    try:
        outcome = run_tool(
            command, folder=work, environ=_environment(writer.root, environ), timeout=timeout
        )
    except OSError as error:
        raise MissingDependency(
            f"cannot start {command[0]}: {error.strerror}",
            "is the SDK unpacked with its file modes?",
        ) from error
    console = read_console(outcome.output)
    if outcome.status != 0:
        raise _failure(writer, outcome, console, onnx_path)
    return _result(writer, out), console.warnings


def read_console(output: str) -> Console:
    """Sort a converter's output into warnings and errors.

    A log line is ``date time - line - LEVEL - text`` (2.x) or without the line number (1.x);
    exceptions are Python's own last line, or ``Encountered Error: ...``.
    """
    warnings: list[str] = []
    errors: list[str] = []
    for line in output.splitlines():
        match = _LOG.match(line.strip())
        if match and match["level"] == "WARNING":
            warnings.append(match["text"])
        elif (match and match["level"] in ("ERROR", "CRITICAL")) or _EXCEPTION.match(line):
            errors.append(match["text"] if match else line.strip())
    return Console(tuple(dict.fromkeys(warnings)), tuple(dict.fromkeys(errors)))


def _head(path: Path) -> str:
    try:
        with path.open(errors="replace") as stream:
            return stream.read(4096)
    except OSError:
        return ""


def _options(version: str) -> tuple[str, str]:
    """How this release spells (input model, output file); new where the version is not known."""
    known = release(version)
    return _OLD_OPTIONS if known and known < _NEW_SPELLING_SINCE else _NEW_OPTIONS


def _environment(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` with what the SDK's bin/envsetup.sh adds."""
    added = {
        "PATH": root / "bin" / _HOST,
        "LD_LIBRARY_PATH": root / "lib" / _HOST,
        "PYTHONPATH": root / "lib" / "python",
    }
    result = dict(environ) | {"SNPE_ROOT": str(root)}
    for variable, folder in added.items():
        result[variable] = os.pathsep.join(filter(None, (str(folder), environ.get(variable))))
    return result


def _result(writer: DlcWriter, out: Path) -> bytes:
    """The converter's file, once it is known to be a DLC."""
    if not out.is_file():
        raise ModelError(f"snpe-onnx-to-dlc {writer.version} reported success but wrote no file")
    data = out.read_bytes()
    try:
        netd.format_version(container.read_members(data)[container.MODEL])
    except ModelError as error:
        raise ModelError(
            f"snpe-onnx-to-dlc {writer.version} wrote a file that is no DLC: {error}"
        ) from error
    return data


def _failure(
    writer: DlcWriter, outcome: Outcome, console: Console, onnx_path: Path
) -> MissingDependency | ModelError:
    """The error to raise for a converter that did not end with status 0."""
    tool = f"snpe-onnx-to-dlc {writer.version}".strip()
    if outcome.status in _NOT_STARTED or (outcome.status and _WRONG_PYTHON.search(outcome.output)):
        return MissingDependency(
            f"{tool} does not run in its Python: {_last_line(outcome)}",
            f"set {PYTHON_VARIABLE} to the interpreter the SDK was set up for",
        )
    reason = "; ".join(_reasons(console, onnx_path)) or _last_line(outcome)
    return ModelError(f"{tool} {outcome.ending}" + (f": {reason}" if reason else ""))


def _reasons(console: Console, onnx_path: Path) -> Iterator[str]:
    """The converter's errors, each unknown operator with the nodes that use it."""
    for error in console.errors:
        unknown = _UNKNOWN_OP.search(error)
        if unknown:
            model = interface.load_onnx(onnx_path, weights=False)
            nodes = interface.nodes_of_type(model, unknown[1])
            yield f"no translation for {unknown[1]} ({', '.join(nodes[:8])})"
        else:
            yield error[:400]


def _last_line(outcome: Outcome) -> str:
    lines = [line.strip() for line in outcome.output.splitlines() if line.strip()]
    return lines[-1][:400] if lines else ""
