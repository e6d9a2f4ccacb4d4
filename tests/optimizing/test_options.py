from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avatar_export.errors import UserError
from avatar_export.optimizing.options import Options

MODEL, OUT = Path("m.onnx"), Path("o.onnx")


def test_what_is_usual() -> None:
    options = Options(MODEL, OUT)
    target = options.resolved_target()
    assert target is not None and (target.name, target.sdk) == ("adreno640", "2.5")
    assert options.wanted_form is None and options.verify
    assert options.outputs == (OUT, Path("o.onnx.data"))


def test_a_chip_with_another_sdk_and_runtime() -> None:
    target = Options(MODEL, OUT, "adreno630", "1.43", "cpu").resolved_target()
    assert target is not None
    assert (target.name, target.sdk, target.runtime) == ("adreno630", "1.43", "cpu")


def test_onnx_runtime_is_no_chip() -> None:
    assert Options(MODEL, OUT, "onnxruntime").resolved_target() is None


@pytest.mark.parametrize("form", ["resize", "deconv", "subpixel"])
def test_a_form_is_wanted(form: str) -> None:
    assert Options(MODEL, OUT, upsample=form).wanted_form == form


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"out": None}, "no file to write"),
        ({"target": "phone"}, "unknown target 'phone'"),
        ({"sdk": "9"}, "unknown SDK '9'"),
        ({"runtime": "tpu"}, "unknown runtime 'tpu'"),
        ({"sdk": "1.17", "runtime": "htp"}, "has no runtime 'htp'"),
        ({"target": "onnxruntime", "sdk": "2.5"}, "neither --sdk nor --runtime"),
        ({"target": "onnxruntime", "runtime": "cpu"}, "neither --sdk nor --runtime"),
        ({"upsample": "bilinear"}, "unknown form of upsampling 'bilinear'"),
        ({"out": MODEL}, "already in use"),
        ({"out": Path("./m.onnx")}, "already in use"),
        ({"model": Path("o.onnx.data")}, "already in use"),
        ({"out": Path()}, "is a folder"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Options(**{"model": MODEL, "out": OUT, **given})


def test_an_unknown_target_is_told_of_all_of_them() -> None:
    with pytest.raises(UserError) as error:
        Options(MODEL, OUT, "phone")
    assert "adreno640" in error.value.hint and error.value.hint.endswith(", onnxruntime")


def test_a_dry_run_needs_no_file() -> None:
    assert Options(MODEL, dry_run=True).outputs == ()
