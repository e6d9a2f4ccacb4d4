from __future__ import annotations

from pathlib import Path

import pytest

from avatar_export.dlc import readers
from avatar_export.dlc.record import DlcRecord, DlcWriter, WriterName, release

QNNIR = DlcWriter("qnnir", "2.7.0", Path("/"), "libQnnIr.so of onnxruntime-qnn")
SDK = DlcWriter("snpe-onnx-to-dlc", "2.5.0", Path("/"), "SNPE_ROOT=/")


def record(writer: WriterName, converter_version: str, writer_version: str = "") -> DlcRecord:
    known = readers.Readers("", "", "")
    return DlcRecord(writer, writer_version, converter_version, "4.0", known, (), None, ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.5", (2, 5)),
        ("snpe-1.43.0.2307", (1, 43)),
        ("2.51.0.260929181845", (2, 51)),
        ("v2.25", (2, 25)),
        ("latest", None),
        ("", None),
    ],
)
def test_release(text: str, expected: tuple[int, int] | None) -> None:
    assert release(text) == expected


def test_qnnir_files_claim_no_device_and_no_old_runtime() -> None:
    known = readers.expected(QNNIR, "2.51.0.260929181845")
    assert known.expected.startswith("QAIRT/SNPE 2.51 or newer")
    assert "not 2.25 or older" in known.expected
    assert "not 1.x" in known.expected
    assert "not loaded by any runtime on a device" in known.evidence
    assert "SNPE_ROOT" in known.advice


def test_sdk_files_are_for_the_same_sdk() -> None:
    known = readers.expected(SDK, "")
    assert known.expected == "SNPE/QAIRT 2.5"
    assert "not loaded by any runtime on a device" in known.evidence


@pytest.mark.parametrize(
    ("made", "wanted", "words"),
    [
        (record("snpe-onnx-to-dlc", "2.25.0"), "1.43", "1.x and 2.x do not mix"),
        (record("snpe-onnx-to-dlc", "", "1.43.0"), "2.5", "1.x and 2.x do not mix"),
        (record("snpe-onnx-to-dlc", "2.25.0"), "2.5", "older 2.5"),
        (record("qnnir", "2.51.0"), "2.5", "cannot be expected to find its weights"),
        (record("qnnir", "2.51.0"), "2.25.0", "cannot be expected to find its weights"),
        (record("qnnir", "2.51.0"), "2.40", "older 2.40"),
        (record("qnnir", "2.51.0"), "1.43", "1.x and 2.x do not mix"),
    ],
)
def test_a_runtime_that_may_not_read_it_gives_a_warning(
    made: DlcRecord, wanted: str, words: str
) -> None:
    assert words in readers.mismatch(made, wanted)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (record("snpe-onnx-to-dlc", "2.5.0"), "2.5"),
        (record("snpe-onnx-to-dlc", "2.5.0"), "2.25"),
        (record("snpe-onnx-to-dlc", "2.5.0"), ""),
        (record("qnnir", "2.51.0"), "2.60"),
    ],
)
def test_a_fitting_runtime_gives_none(made: DlcRecord, wanted: str) -> None:
    assert readers.mismatch(made, wanted) == ""
