from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avatar_export.conversion.options import Options
from avatar_export.errors import UserError

PHOTO = {"source": Path("face.png"), "keypoints": Path("face.npy")}
GENERIC = {"avatar.onnx", "frame.onnx", "manifest.json", "report.json", "report.md"}
BAKED = {"frame_baked.onnx", "frame_baked.fp16.onnx", "avatar.npz", "parity.png"}


def options(**given: Any) -> Options:
    return Options(**{"run": Path("run"), "out": Path("no/such/folder"), **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": Path("face.png")}, "--source needs --keypoints"),
        ({"keypoints": Path("face.npy")}, "--keypoints needs --source"),
        ({"mask": Path("mask.png")}, "--mask needs --source"),
        ({"driving": Path("poses.npy")}, "--driving needs --source"),
        ({"enhance_form": "scatter"}, "--enhance-form needs --enhancer"),
    ],
)
def test_options_that_do_not_go_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}$"):
        options(**given)


def test_out_must_not_be_a_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        options(out=out)


@pytest.mark.parametrize(
    ("given", "files"),
    [
        ({}, GENERIC),
        ({"enhancer": Path("e")}, GENERIC | {"enhance.onnx"}),
        (PHOTO, GENERIC | BAKED),
        ({**PHOTO, "enhancer": Path("e"), "dlc": True}, GENERIC | BAKED | {"enhance.onnx"}),
    ],
)
def test_files_follow_from_what_is_given(given: dict[str, Any], files: set[str]) -> None:
    named = options(**given).files()
    assert set(named) == files
    assert len(named) == len(files)


@pytest.mark.parametrize(
    "wrong", [{"warp": "gathr"}, {"enhance_form": "sctter"}, {"upsample": "up"}]
)
def test_an_unknown_form_is_refused(wrong: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown"):
        Options(run=tmp_path, out=tmp_path / "out", **wrong)  # type: ignore[arg-type]
